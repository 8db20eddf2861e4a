"""What `kubectl get pods` shows."""

from typing import Any

import pytest
from kind_objects import ago, container, pod, row

from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj


def status(name: str = "main", **state: Any) -> Obj:
    """The status of a container in one state, ready where it runs."""
    return {"name": name, "restartCount": 0, "ready": "running" in state, "state": state}


def with_status(found: Obj, **fields: Any) -> Obj:
    found["status"] = {"phase": "Running", **fields}
    return found


def ended(code: int = 0, **fields: Any) -> Obj:
    return {"exitCode": code, **fields}


RUNNING = status(running={})
READY = [{"type": "Ready", "status": "True"}]
INITIALIZED = [{"type": "Initialized", "status": "True"}]
SIDECAR = container("side", restartPolicy="Always")

CASES: dict[str, tuple[Obj, str, str]] = {
    "pending": (with_status(pod(), phase="Pending"), "0/1", "Pending"),
    "running": (with_status(pod(), containerStatuses=[RUNNING]), "1/1", "Running"),
    "creating": (
        with_status(
            pod(), phase="Pending", containerStatuses=[status(waiting={"reason": "ContainerCreating"})]
        ),
        "0/1",
        "ContainerCreating",
    ),
    "no image": (
        with_status(pod(), phase="Pending", containerStatuses=[status(waiting={"reason": "ErrImagePull"})]),
        "0/1",
        "ErrImagePull",
    ),
    "crashing": (
        with_status(pod(), containerStatuses=[status(waiting={"reason": "CrashLoopBackOff"})]),
        "0/1",
        "CrashLoopBackOff",
    ),
    "completed": (
        with_status(pod(), phase="Succeeded", containerStatuses=[status(terminated=ended(reason="Completed"))]),
        "0/1",
        "Completed",
    ),
    "error": (
        with_status(pod(), phase="Failed", containerStatuses=[status(terminated=ended(1, reason="Error"))]),
        "0/1",
        "Error",
    ),
    "killed": (
        with_status(pod(), containerStatuses=[status(terminated=ended(137, signal=9))]),
        "0/1",
        "Signal:9",
    ),
    "exit code": (with_status(pod(), containerStatuses=[status(terminated=ended(3))]), "0/1", "ExitCode:3"),
    "out of memory": (
        with_status(pod(), containerStatuses=[status(terminated=ended(137, reason="OOMKilled"))]),
        "0/1",
        "OOMKilled",
    ),
    "first reason wins": (
        with_status(
            pod(container("a"), container("b")),
            containerStatuses=[
                status("a", terminated=ended(1, reason="Error")),
                status("b", waiting={"reason": "CrashLoopBackOff"}),
            ],
        ),
        "0/2",
        "Error",
    ),
    "one done, one running": (
        with_status(
            pod(container("a"), container("b")),
            conditions=READY,
            containerStatuses=[status("a", terminated=ended(reason="Completed")), status("b", running={})],
        ),
        "1/2",
        "Running",
    ),
    "one done, not ready": (
        with_status(
            pod(container("a"), container("b")),
            containerStatuses=[status("a", terminated=ended(reason="Completed")), status("b", running={})],
        ),
        "1/2",
        "NotReady",
    ),
    "first init runs": (
        with_status(
            pod(initContainers=[container("i"), container("j")]),
            phase="Pending",
            initContainerStatuses=[status("i", running={}), status("j", waiting={"reason": "PodInitializing"})],
            containerStatuses=[status(waiting={"reason": "PodInitializing"})],
        ),
        "0/1",
        "Init:0/2",
    ),
    "second init waits": (
        with_status(
            pod(initContainers=[container("i"), container("j")]),
            phase="Pending",
            initContainerStatuses=[
                status("i", terminated=ended()),
                status("j", waiting={"reason": "ErrImagePull"}),
            ],
        ),
        "0/1",
        "Init:ErrImagePull",
    ),
    "init fails": (
        with_status(
            pod(initContainers=[container("i")]),
            initContainerStatuses=[status("i", terminated=ended(1, reason="Error"))],
        ),
        "0/1",
        "Init:Error",
    ),
    "init killed": (
        with_status(
            pod(initContainers=[container("i")]),
            initContainerStatuses=[status("i", terminated=ended(137, signal=9))],
        ),
        "0/1",
        "Init:Signal:9",
    ),
    "init over": (
        with_status(
            pod(initContainers=[container("i")]),
            phase="Pending",
            initContainerStatuses=[status("i", terminated=ended())],
            containerStatuses=[status(waiting={"reason": "PodInitializing"})],
        ),
        "0/1",
        "PodInitializing",
    ),
    "sidecar": (
        with_status(
            pod(initContainers=[SIDECAR]),
            initContainerStatuses=[{**status("side", running={}), "started": True}],
            containerStatuses=[RUNNING],
        ),
        "2/2",
        "Running",
    ),
    "sidecar restarts": (
        with_status(
            pod(initContainers=[SIDECAR]),
            conditions=INITIALIZED,
            initContainerStatuses=[status("side", waiting={"reason": "CrashLoopBackOff"})],
            containerStatuses=[RUNNING],
        ),
        "1/2",
        "Init:CrashLoopBackOff",
    ),
    "gated": (
        with_status(pod(), phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
        "0/1",
        "SchedulingGated",
    ),
    "evicted": (with_status(pod(), phase="Failed", reason="Evicted"), "0/1", "Evicted"),
}


@pytest.mark.parametrize(("found", "ready", "expected"), CASES.values(), ids=CASES.keys())
def test_ready_and_status(found: Obj, ready: str, expected: str) -> None:
    """The state of a pod is told in the word that upstream's printer uses."""
    cells = row(Pod, found)
    assert (cells["Ready"], cells["Status"]) == (ready, expected)


def test_a_deleted_pod_terminates() -> None:
    """A pod that is being deleted is Terminating, unless it is over; on a lost node it is Unknown."""
    deleted = with_status(pod(), containerStatuses=[RUNNING])
    deleted["metadata"]["deletionTimestamp"] = ago(1)
    assert row(Pod, deleted)["Status"] == "Terminating"
    deleted["status"]["reason"] = "NodeLost"
    assert row(Pod, deleted)["Status"] == "Unknown"
    over = with_status(pod(), phase="Failed", containerStatuses=[status(terminated=ended(1, reason="Error"))])
    over["metadata"]["deletionTimestamp"] = ago(1)
    assert row(Pod, over)["Status"] == "Error"


def test_restarts() -> None:
    """Restarts are those of the containers, with the time since the last one."""
    once = {**RUNNING, "restartCount": 1, "lastState": {"terminated": {"finishedAt": ago(3000)}}}
    twice = {**RUNNING, "name": "b", "restartCount": 2, "lastState": {"terminated": {"finishedAt": ago(300)}}}
    found = with_status(pod(container(), container("b")), containerStatuses=[once, twice])
    assert row(Pod, found)["Restarts"] == "3 (5m ago)"
    assert row(Pod, with_status(pod(), containerStatuses=[RUNNING]))["Restarts"] == "0"


def test_restarts_of_init_containers() -> None:
    """Init containers' restarts count until they are over; then only those of sidecars."""
    failing = {**status("i", terminated=ended(1, reason="Error")), "restartCount": 4}
    starting = with_status(pod(initContainers=[container("i")]), initContainerStatuses=[failing])
    assert row(Pod, starting)["Restarts"] == "4"
    passed = {**status("i", terminated=ended()), "restartCount": 4}
    side = {**status("side", running={}), "started": True, "restartCount": 2}
    running = with_status(
        pod(initContainers=[container("i"), SIDECAR]),
        initContainerStatuses=[passed, side],
        containerStatuses=[RUNNING],
    )
    assert row(Pod, running)["Restarts"] == "2"


def test_wide_columns() -> None:
    """Address, node, nominated node and readiness gates, with <none> for what is missing."""
    empty = row(Pod, pod())
    names = ("Age", "IP", "Node", "Nominated Node", "Readiness Gates")
    assert [empty[name] for name in names] == ["60s", "<none>", "<none>", "<none>", "<none>"]
    found = pod(nodeName="n1", readinessGates=[{"conditionType": "a"}, {"conditionType": "b"}])
    conditions = [{"type": "a", "status": "True"}, {"type": "b", "status": "False"}]
    with_status(found, podIP="10.244.0.5", podIPs=[{"ip": "10.244.0.5"}], conditions=conditions)
    assert [row(Pod, found)[name] for name in names] == ["60s", "10.244.0.5", "n1", "<none>", "1/2"]
    assert [column.name for column in Pod.columns if not column.priority] == [
        "Name",
        "Ready",
        "Status",
        "Restarts",
        "Age",
    ]
