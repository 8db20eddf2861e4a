"""Unusual corners of workloads: what their controllers do and tell where two rules meet."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.controllers import tainteviction
from minikube_py.controllers.cronjobs import plan as cron_plan
from minikube_py.controllers.daemonsets import placement, rollout
from minikube_py.controllers.deployments import revisions
from minikube_py.controllers.statefulsets import rollout as stateful_rollout
from minikube_py.controllers.statefulsets.rollout import Revisions
from minikube_py.errors import Invalid
from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.batch.cronjob import CronJob
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, annotations_of, labels_of, name_of, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = {"spec": {"containers": [{"name": "main", "image": "ok:1"}]}}


def ago(seconds: float) -> str:
    return timestamp(NOW - timedelta(seconds=seconds))


def daemon_pod(name: str, *, age: float, revision: str = "new", ready: bool = True, **meta: Any) -> Obj:
    labels = {"controller-revision-hash": revision}
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": ago(age)}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": ago(age), "labels": labels, **meta},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": [condition]},
    }


def a_daemon(**rolling: int) -> Obj:
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {
        "metadata": {"name": "ds", "generation": 3},
        "spec": {"template": {"spec": {}}, "updateStrategy": strategy},
    }


NODE: Obj = {"metadata": {"name": "n1"}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param([daemon_pod("a", age=9)], (1, 1, 1, 1), id="there"),
        pytest.param([daemon_pod("a", age=9, deletionTimestamp=ago(0))], (1, 1, 1, 1), id="still-ending"),
        pytest.param(
            [daemon_pod("a", age=9, revision="old"), daemon_pod("b", age=1)], (1, 1, 1, None), id="old-first"
        ),
        pytest.param(
            [daemon_pod("a", age=9, ready=False), daemon_pod("b", age=1)], (1, 0, None, 1), id="oldest-counts"
        ),
    ],
)
def test_the_oldest_daemon_pod_counts(pods: list[Obj], expected: tuple[int | None, ...]) -> None:
    """Of a node's pods the oldest one is counted, also while it ends."""
    status = rollout.observed(a_daemon(maxSurge=1), [NODE], placement.by_node(pods), "new", NOW)
    fields = ("currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled")
    assert tuple(status.get(field) for field in fields) == expected


def test_a_broken_old_daemon_pod_makes_room() -> None:
    """With a surge the old pod goes once the new one is available, or as soon as it is not ready itself."""
    new = daemon_pod("new", age=1, ready=False)
    found = []
    for old in (
        daemon_pod("old", age=9, revision="old"),
        daemon_pod("old", age=9, revision="old", ready=False),
    ):
        placed = placement.by_node([old, new])
        step = rollout.plan_update(a_daemon(maxSurge=1, maxUnavailable=0), [NODE], placed, "new", NOW)
        found.append([name_of(pod) for pod in step.delete])
    assert found == [[], ["old"]]


async def test_a_succeeded_daemon_pod_is_replaced_at_once(world: Any) -> None:
    """A daemon pod that ends well is replaced without a wait, and an event says so."""
    node = await world.add_node("n1")
    labels = {"app": "agent"}
    template = {"metadata": {"labels": labels}, **RUN}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "agent", "namespace": "default"}
    world.agent.silent.add(name_of(node))
    await world.create(DaemonSet, {"metadata": meta, "spec": spec})
    [first] = world.pods()
    ended = {"status": {**first["status"], "phase": "Succeeded"}}
    await world.api.update(Pod, {**first, **ended}, subresource="status")
    await world.settle()
    [told] = world.events("SucceededDaemonPod")
    name = name_of(first)
    assert told == f"Found succeeded daemon pod default/{name} on node n1, will try to delete it"
    assert name not in world.names(Pod)


def stateful(replicas: int, policy: str = "OrderedReady", min_ready: int = 0) -> Obj:
    return {
        "metadata": {"name": "web", "uid": "set", "generation": 1},
        "spec": {
            "replicas": replicas,
            "podManagementPolicy": policy,
            "minReadySeconds": min_ready,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        },
    }


def stateful_pod(number: int, *, phase: str = "Running", ready_for: float = 1000) -> Obj:
    ready = {"type": "Ready", "status": str(phase == "Running"), "lastTransitionTime": ago(ready_for)}
    labels = {
        "controller-revision-hash": "new",
        "statefulset.kubernetes.io/pod-name": f"web-{number}",
        "apps.kubernetes.io/pod-index": str(number),
    }
    meta = {"name": f"web-{number}", "uid": f"pod-{number}", "labels": labels}
    return {"metadata": meta, "status": {"phase": phase, "conditions": [ready]}}


@pytest.mark.parametrize(
    ("wanted", "pods", "deleted"),
    [
        pytest.param(stateful(1, min_ready=60), [(0, 90), (1, 5)], [], id="not-available-yet"),
        pytest.param(stateful(1, min_ready=60), [(0, 90), (1, 90)], ["web-1"], id="available"),
    ],
)
def test_a_pod_too_many_becomes_available_first(
    wanted: Obj, pods: list[tuple[int, int]], deleted: list[str]
) -> None:
    """A set of ordered pods is scaled down only while each of them is available."""
    known = [stateful_pod(number, ready_for=seconds) for number, seconds in pods]
    steps = stateful_rollout.plan(wanted, known, Revisions("new", "new"), NOW)
    assert [name_of(pod) for pod in steps.delete] == deleted


def test_an_ended_pod_holds_up_no_parallel_set() -> None:
    """Where pods are parallel, one that ended is replaced while others are scaled away."""
    known = [stateful_pod(0, phase="Failed"), stateful_pod(1), stateful_pod(2)]
    steps = stateful_rollout.plan(stateful(2, "Parallel"), known, Revisions("new", "new"), NOW)
    assert [name_of(pod) for pod in steps.delete] == ["web-0", "web-2"]


async def test_a_stateful_pod_that_ends_is_told_of(world: Any) -> None:
    """Pods that failed and pods that ended well are replaced with an event of their own; a label that is
    taken away comes back; the revision is named by its hash."""
    await world.add_node("n1")
    labels = {"app": "web"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, **RUN},
    }
    meta = {"name": "web", "namespace": "default"}
    await world.create(StatefulSet, {"metadata": meta, "spec": {**spec, "serviceName": "web"}})
    label = "statefulset.kubernetes.io/pod-name"
    await world.patch(Pod, "web-0", {"metadata": {"labels": {label: None}}})
    assert labels_of(world.the(Pod, "web-0"))[label] == "web-0"
    assert world.events("SuccessfulUpdate") == ["update Pod web-0 in StatefulSet web successful"]
    for phase in ("Failed", "Succeeded"):
        pod = world.the(Pod, "web-0")
        await world.api.update(Pod, {**pod, "status": {**pod["status"], "phase": phase}}, subresource="status")
        await world.settle()
    assert world.events("RecreatingFailedPod") == ["StatefulSet default/web is recreating failed Pod web-0"]
    assert world.events("RecreatingTerminatedPod") == [
        "StatefulSet default/web is recreating terminated Pod web-0"
    ]
    [revision] = world.cache.list(ControllerRevision)
    assert name_of(revision) == f"web-{labels_of(revision)['controller.kubernetes.io/hash']}"


def test_former_revisions_are_cut() -> None:
    """What a ReplicaSet tells of its former revisions stays short; the oldest ones go."""
    known = ",".join(str(number) for number in range(1000, 1450))
    notes = {revisions.REVISION: "1400", revisions.HISTORY: known}
    deployment: Obj = {"metadata": {"name": "web"}, "spec": {}}
    old = [{"metadata": {"annotations": {revisions.REVISION: "1500"}}}]
    wanted = revisions.wanted_annotations(deployment, {"metadata": {"annotations": notes}}, old)
    assert wanted[revisions.REVISION] == "1501"
    assert wanted[revisions.HISTORY] == ",".join([*known.split(","), "1400"])[-1999:]


@pytest.mark.parametrize(
    ("tolerations", "arrived", "expected"),
    [
        ([("Exists", 300), ("Exists", 5)], 3600, 290.0),
        ([("Exists", None), ("Exists", 5)], 3600, None),
        ([("Exists", 300)], 4, 296.0),
    ],
)
def test_the_first_toleration_holds(
    tolerations: list[tuple[str, int | None]], arrived: float, expected: float | None
) -> None:
    """The first toleration of a taint says for how long, from when the taint and the pod have met."""
    taint = {"key": "k", "effect": "NoExecute", "timeAdded": ago(10)}
    given = [
        {"key": "k", "operator": operator} | ({} if seconds is None else {"tolerationSeconds": seconds})
        for operator, seconds in tolerations
    ]
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(arrived)}
    pod = {"metadata": {"creationTimestamp": ago(9999)}, "status": {"conditions": [bound]}}
    assert tainteviction.evict_in(given, [taint], NOW, None, tainteviction.arrival(pod)) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, "2026-01-01T12:00:00Z"),
        ("Etc/UTC", "2026-01-01T12:00:00Z"),
        ("Europe/London", "2026-01-01T12:00:00Z"),
        ("Europe/Berlin", "2026-01-01T13:00:00+01:00"),
    ],
)
def test_the_time_a_job_is_made_for(zone: str | None, expected: str) -> None:
    """A CronJob's Job says in the schedule's time zone when it was due; without an offset it ends with Z."""
    spec: Obj = {"jobTemplate": {"spec": {}}} | ({"timeZone": zone} if zone else {})
    meta = {"name": "tick", "namespace": "default", "uid": "u"}
    cron_job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec}
    assert annotations_of(cron_plan.new_job(cron_job, NOW))[cron_plan.SCHEDULED] == expected


async def test_a_schedule_that_is_never_due(world: Any) -> None:
    """A day that no year has is told of, and nothing is made."""
    template = {"spec": {"template": {"spec": {**RUN["spec"], "restartPolicy": "Never"}}}}
    spec = {"schedule": "59 23 31 2 *", "jobTemplate": template}
    await world.create(CronJob, {"metadata": {"name": "never", "namespace": "default"}, "spec": spec})
    why = "time difference between two schedules is less than 1 second"
    assert world.events("InvalidSchedule") == [f"invalid schedule: 59 23 31 2 * : {why}"]


@pytest.mark.parametrize("cost", ["+5", "05", "", "1.5", "2147483648"])
async def test_what_a_pod_may_cost(world: Any, cost: str) -> None:
    """The cost of a pod's deletion is a 32-bit number; a pod that has another one may keep it."""
    key = "controller.kubernetes.io/pod-deletion-cost"
    meta = {"name": "dear", "namespace": "default", "annotations": {key: "-10"}}
    await world.create(Pod, {"metadata": meta, **RUN})
    with pytest.raises(Invalid, match="must be a 32bit integer"):
        await world.patch(Pod, "dear", {"metadata": {"annotations": {key: cost}}})
