"""What a pod's status tells of its containers: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

from minikube_py.kubelet.container_status import VANISHED, Known
from minikube_py.kubelet.status import Facts, pod_status
from minikube_py.meta.objects import Obj, condition, timestamp
from minikube_py.runtime.base import Container

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def spec(name: str, **more: Any) -> Obj:
    return {"name": name, "image": "app:1", **more}


def pod(*containers: Obj, **more: Any) -> Obj:
    meta = {"name": "web", "namespace": "default", "uid": "u1", "generation": 1}
    return {"metadata": meta, "spec": {"containers": list(containers), **more}}


def run(name: str, state: str = "running", *, attempt: int = 0, code: int = 0) -> Known:
    """The `attempt`-th run of a container; a running one is ready."""
    moment = NOW.timestamp() + attempt
    found = Container(
        f"{name}{attempt}",
        "s0",
        name,
        attempt,
        state,
        "app:1",
        "i",
        created_at=moment,
        started_at=moment,
        finished_at=moment,
        exit_code=code,
    )
    return Known(found, ready=state == "running", started=state == "running")


def told(subject: Obj, *runs: Known, field: str = "containerStatuses", **facts: Any) -> list[Obj]:
    """The entries of the status, of a pod of which there are `runs`, each container's newest first."""
    by_name: dict[str, list[Known]] = {}
    for one in runs:
        by_name.setdefault(one.container.name, []).append(one)
    found: list[Obj] = pod_status(subject, Facts(NOW, by_name, **facts))[field]
    return found


def test_unready_containers_are_told_in_the_order_of_the_spec() -> None:
    """Statuses are sorted by name; what is not ready is named as the spec has it, sidecars first."""
    subject = pod(spec("z"), spec("a"), initContainers=[spec("side", restartPolicy="Always"), spec("once")])
    status = pod_status(subject, Facts(NOW))
    assert [entry["name"] for entry in status["containerStatuses"]] == ["a", "z"]
    ready = condition(subject | {"status": status}, "Ready")
    assert ready is not None
    assert ready["message"] == "containers with unready status: [side z a]"


def test_init_containers_are_started_while_they_run_and_ready_once_they_have_succeeded() -> None:
    """A sidecar is ready while it runs, an init container only after it."""
    subject = pod(
        spec("main"),
        initContainers=[spec("done"), spec("runs"), spec("failed"), spec("side", restartPolicy="Always")],
    )
    runs = [run("done", "exited"), run("runs"), run("failed", "exited", code=2), run("side")]
    entries = told(subject, *runs, field="initContainerStatuses")
    assert [(entry["started"], entry["ready"]) for entry in entries] == [
        (False, True),
        (True, False),
        (False, False),
        (True, True),
    ]


def test_ephemeral_containers_have_no_readiness() -> None:
    """They are sorted by name, never ready, and nothing is told of their start."""
    subject = pod(spec("main"), ephemeralContainers=[spec("z"), spec("a")])
    entries = told(subject, run("z"), run("a"), field="ephemeralContainerStatuses")
    assert [(entry["name"], entry["ready"], "started" in entry) for entry in entries] == [
        ("a", False, False),
        ("z", False, False),
    ]


def test_a_run_that_is_only_made_is_not_told() -> None:
    """Until its next run has started, a container is told as it ended."""
    (entry,) = told(pod(spec("main")), run("main", "created", attempt=1), run("main", "exited", code=3))
    assert (entry["state"]["terminated"]["exitCode"], entry["restartCount"]) == (3, 0)
    assert entry["containerID"] == "containerd://main0"
    (first,) = told(pod(spec("main")), run("main", "created"))
    assert first["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "containerID" not in first


def test_resources_are_told_of_what_was_made() -> None:
    """A container that never ran tells no resources; one that the runtime has forgotten tells them on."""
    asked = {"requests": {"cpu": "100m"}}
    subject = pod(spec("main", resources=asked))
    assert "resources" not in told(subject)[0]
    entries = told(subject, run("main", "exited"))
    assert (entries[0]["resources"], entries[0]["allocatedResources"]) == (asked, asked["requests"])
    assert told(subject | {"status": {"containerStatuses": entries}}) == entries


def test_a_container_that_vanished_is_told_as_the_last_state() -> None:
    """Of a container that ran, and that is to run again, the end is unknown."""
    old = spec("main", state={"running": {"startedAt": timestamp(NOW)}}, containerID="containerd://c1")
    (entry,) = told(pod(spec("main")) | {"status": {"containerStatuses": [old]}})
    last = entry["lastState"]["terminated"]
    assert (last["reason"], last["message"], last["exitCode"]) == ("ContainerStatusUnknown", VANISHED, 137)


def test_the_last_state_outlives_what_the_runtime_knows() -> None:
    """A new run beside which the runtime has no other one tells as its last state what was told before."""
    before = told(pod(spec("main")), run("main", "exited", code=3))[0]
    lost = before | {"state": {"running": {"startedAt": timestamp(NOW)}}}
    waits = before | {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": before["state"]}
    found = [
        told(pod(spec("main")) | {"status": {"containerStatuses": [old]}}, run("main", attempt=1))[0]
        for old in (before, lost, waits)
    ]
    assert [entry["lastState"]["terminated"]["exitCode"] for entry in found] == [3, 137, 3]


def test_an_ephemeral_container_that_vanished_has_ended() -> None:
    """It is not waiting: it never runs again."""
    subject = pod(spec("main"), ephemeralContainers=[spec("dbg")])
    before = told(subject, run("dbg"), field="ephemeralContainerStatuses")
    after = subject | {"status": {"ephemeralContainerStatuses": before}}
    (entry,) = told(after, field="ephemeralContainerStatuses")
    assert (entry["state"]["terminated"]["exitCode"], entry["lastState"]) == (137, {})


def test_the_start_time_is_when_the_pod_was_acknowledged() -> None:
    """A pod's startTime comes before its containers' starts, however late the status is written."""
    facts = Facts(NOW, acknowledged=NOW - timedelta(seconds=5))
    assert pod_status(pod(spec("main")), facts)["startTime"] == "2025-12-31T23:59:55Z"
