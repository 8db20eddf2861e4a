"""StatefulSets: the plan as tables, and their stories in virtual time."""

from typing import Any

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.controllers.statefulsets import identity, rollout
from minikube_py.controllers.statefulsets.rollout import Revisions
from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, dig, labels_of, name_of, owner_references, timestamp, uid_of

NOW = VirtualClock().now()
BOTH = Revisions("old", "new")
ONE = Revisions("new", "new")


def a_set(replicas: int = 3, *, policy: str = "OrderedReady", start: int = 0, **rolling: Any) -> Obj:
    return {
        "metadata": {"name": "web", "uid": "set", "generation": 1},
        "spec": {
            "replicas": replicas,
            "podManagementPolicy": policy,
            "ordinals": {"start": start},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, **rolling}},
        },
    }


def a_pod(number: int, revision: str = "new", state: str = "ready") -> Obj:
    """A pod of the set in a state: ready, starting, pending, failed, deleting."""
    phase = {"ready": "Running", "starting": "Running", "deleting": "Running", "failed": "Failed"}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(NOW)}
    pod: Obj = {
        "metadata": {
            "name": f"web-{number}",
            "uid": f"pod-{number}",
            "labels": {"controller-revision-hash": revision, **identity.identity_labels(a_set(), number)},
        },
        "status": {"phase": phase.get(state, "Pending"), "conditions": [ready] if state == "ready" else []},
    }
    if state == "deleting":
        pod["metadata"]["deletionTimestamp"] = timestamp(NOW)
    return pod


def steps(stateful_set: Obj, pods: list[Obj], revisions: Revisions = ONE) -> tuple[list[Any], list[str]]:
    todo = rollout.plan(stateful_set, pods, revisions, NOW)
    return list(todo.create.items()), [name_of(pod) for pod in todo.delete]


@pytest.mark.parametrize(
    ("wanted", "pods", "created", "deleted"),
    [
        (a_set(), [], [(0, "new")], []),
        (a_set(), [a_pod(0, state="starting")], [], []),
        (a_set(), [a_pod(0)], [(1, "new")], []),
        (a_set(), [a_pod(1), a_pod(2)], [(0, "new")], []),
        (a_set(), [a_pod(0), a_pod(1, state="deleting"), a_pod(2)], [], []),
        (a_set(), [a_pod(0), a_pod(1, state="failed"), a_pod(2)], [], ["web-1"]),
        (a_set(2, start=5), [a_pod(5)], [(6, "new")], []),
        (a_set(1), [a_pod(0), a_pod(1), a_pod(2)], [], ["web-2"]),
        (a_set(1), [a_pod(0), a_pod(1), a_pod(2, state="deleting")], [], []),
        (a_set(0), [a_pod(0), a_pod(1, state="starting"), a_pod(2)], [], ["web-2"]),
        (a_set(0), [a_pod(0, state="starting"), a_pod(1), a_pod(2, state="starting")], [], []),
        (a_set(0), [a_pod(0), a_pod(1), a_pod(2, state="starting")], [], ["web-2"]),
        (a_set(policy="Parallel"), [a_pod(1, state="starting")], [(0, "new"), (2, "new")], []),
        (a_set(1, policy="Parallel"), [a_pod(0), a_pod(1), a_pod(2)], [], ["web-2", "web-1"]),
    ],
)
def test_scaling(wanted: Obj, pods: list[Obj], created: list[Any], deleted: list[str]) -> None:
    """Pods are made in order and removed in reverse, each after the others are ready; or all at once."""
    assert steps(wanted, pods) == (created, deleted)


def pods_of(*revisions: str, broken: int = -1) -> list[Obj]:
    return [
        a_pod(number, revision, "starting" if number == broken else "ready")
        for number, revision in enumerate(revisions)
    ]


@pytest.mark.parametrize(
    ("wanted", "pods", "deleted"),
    [
        (a_set(), pods_of("old", "old", "old"), ["web-2"]),
        (a_set(), pods_of("old", "old", "new"), ["web-1"]),
        (a_set(), pods_of("old", "old", "new", broken=2), []),
        (a_set(partition=2), pods_of("old", "old", "old"), ["web-2"]),
        (a_set(partition=2), pods_of("old", "old", "new"), []),
        (a_set(partition=9), pods_of("old", "old", "old"), []),
        (a_set(maxUnavailable=2), pods_of("old", "old", "old"), ["web-2", "web-1"]),
        (a_set(maxUnavailable="70%"), pods_of("old", "old", "new"), ["web-1", "web-0"]),
        (a_set(maxUnavailable="10%"), pods_of("old", "old", "old"), ["web-2"]),
        (a_set(), pods_of("old", "old", "bad", broken=2), ["web-2"]),
    ],
)
def test_rolling_updates(wanted: Obj, pods: list[Obj], deleted: list[str]) -> None:
    """Updates go from the highest pod down to the partition; a withdrawn template's broken pod is replaced."""
    assert steps(wanted, pods, BOTH) == ([], deleted)


@pytest.mark.parametrize(
    ("rolling", "current", "ordinal", "expected"),
    [
        ({"partition": 2}, 0, 1, "old"),
        ({"partition": 2}, 0, 2, "new"),
        (None, 2, 1, "old"),
        (None, 2, 2, "new"),
    ],
)
def test_the_revision_of_a_new_pod(rolling: Obj | None, current: int, ordinal: int, expected: str) -> None:
    """Pods below the partition come back by the current revision, others by the update's."""
    wanted = a_set() | {"status": {"currentReplicas": current}}
    wanted["spec"]["updateStrategy"]["rollingUpdate"] = rolling
    assert rollout.revision_for(wanted, ordinal, BOTH) == expected


def test_on_delete_leaves_old_pods_alone() -> None:
    """With OnDelete an old pod stays until someone deletes it, and comes back new."""
    wanted = a_set()
    wanted["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert steps(wanted, pods_of("old", "old", "old"), BOTH) == ([], [])
    assert steps(wanted, pods_of("old", "old"), BOTH) == ([(2, "new")], [])


@pytest.mark.parametrize(
    ("deleted", "scaled", "leaving", "expected"),
    [
        ("Retain", "Retain", False, []),
        ("Retain", "Retain", True, []),
        ("Delete", "Retain", True, ["StatefulSet"]),
        ("Retain", "Delete", False, []),
        ("Retain", "Delete", True, ["Pod"]),
        ("Delete", "Delete", False, ["StatefulSet"]),
        ("Delete", "Delete", True, ["Pod"]),
    ],
)
def test_claim_retention(deleted: str, scaled: str, leaving: bool, expected: list[str]) -> None:
    """A claim goes with the set or with the pod that is scaled away, as the policy says."""
    wanted = a_set()
    wanted["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": deleted, "whenScaled": scaled}
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "set"}
    claim = {"metadata": {"name": "data-web-1", "ownerReferences": [reference]}}
    found = identity.claim_owners(wanted, a_pod(1) if leaving else None, claim, reference)
    assert [ref["kind"] for ref in found] == expected


def stateful(replicas: int = 2, image: str = "ok:1", **spec: Any) -> Obj:
    labels = {"app": "web"}
    pod = {"containers": [{"name": "main", "image": image}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    chosen = {"replicas": replicas, "serviceName": "web", "selector": {"matchLabels": labels}}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {**chosen, "template": template, **spec},
    }


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}


async def test_pods_keep_names_and_claims(world: Any) -> None:
    """Each pod has its own name, host name and claim; a deleted pod comes back with the same ones."""
    await world.add_node("n1")
    await world.create(StatefulSet, stateful(volumeClaimTemplates=[CLAIM]))
    assert world.names(Pod) == ["web-0", "web-1"]
    assert world.names(PersistentVolumeClaim) == ["data-web-0", "data-web-1"]
    first = world.the(Pod, "web-1")
    assert (first["spec"]["hostname"], first["spec"]["subdomain"]) == ("web-1", "web")
    assert dig(first, "spec.volumes")[0]["persistentVolumeClaim"]["claimName"] == "data-web-1"
    await world.delete(Pod, "web-1")
    assert uid_of(world.the(Pod, "web-1")) != uid_of(first)
    status = world.the(StatefulSet, "web")["status"]
    assert (status["readyReplicas"], status["updatedReplicas"], status["availableReplicas"]) == (2, 2, 2)
    await world.patch(StatefulSet, "web", {"spec": {"replicas": 1}})
    assert (world.names(Pod), world.names(PersistentVolumeClaim)) == (
        ["web-0"],
        ["data-web-0", "data-web-1"],
    )
    assert world.events("SuccessfulCreate")[:2] == [
        "create Claim data-web-0 Pod web-0 in StatefulSet web success",
        "create Pod web-0 in StatefulSet web successful",
    ]


async def test_a_broken_rollout_stops_and_heals(world: Any) -> None:
    """A pod that never gets ready stops the rollout; taking the template back replaces just that pod."""
    world.agent.images["bad:1"] = "stuck"
    await world.add_node("n1")
    await world.create(StatefulSet, stateful(3))
    uids = {name_of(pod): uid_of(pod) for pod in world.pods()}
    good = world.the(StatefulSet, "web")["spec"]["template"]
    bad = {"spec": {"containers": [{"name": "main", "image": "bad:1"}]}}
    await world.patch(StatefulSet, "web", {"spec": {"template": bad}})
    status = world.the(StatefulSet, "web")["status"]
    assert (status["readyReplicas"], status["updatedReplicas"], status["currentReplicas"]) == (2, 1, 2)
    assert status["currentRevision"] != status["updateRevision"]
    await world.patch(StatefulSet, "web", {"spec": {"template": good}})
    status = world.the(StatefulSet, "web")["status"]
    assert (status["readyReplicas"], status["updatedReplicas"], status["currentReplicas"]) == (3, 3, 3)
    assert status["currentRevision"] == status["updateRevision"]
    kept = [name_of(pod) for pod in world.pods() if uids[name_of(pod)] == uid_of(pod)]
    assert sorted(kept) == ["web-0", "web-1"]
    assert len(world.names(ControllerRevision)) == 2


async def test_a_canary_by_partition(world: Any) -> None:
    """With a partition only the pods from it on are updated; a pod below it comes back as it was."""
    await world.add_node("n1")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await world.create(StatefulSet, stateful(3, updateStrategy=strategy))
    new = {"spec": {"containers": [{"name": "main", "image": "ok:2"}]}}
    await world.patch(StatefulSet, "web", {"spec": {"template": new}})
    await world.delete(Pod, "web-0")

    def images() -> list[str]:
        return [world.the(Pod, f"web-{n}")["spec"]["containers"][0]["image"] for n in range(3)]

    assert images() == ["ok:1", "ok:1", "ok:2"]
    open_up = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
    await world.patch(StatefulSet, "web", open_up)
    assert images() == ["ok:2", "ok:2", "ok:2"]


async def test_a_lost_claim_is_made_again(world: Any) -> None:
    """A claim that is deleted while its pod still waits for a node is made anew."""
    await world.create(StatefulSet, stateful(1, volumeClaimTemplates=[CLAIM]))
    first = world.the(PersistentVolumeClaim, "data-web-0")["metadata"]["uid"]
    await world.delete(PersistentVolumeClaim, "data-web-0")
    await world.pass_time(1)
    assert world.the(PersistentVolumeClaim, "data-web-0")["metadata"]["uid"] != first


async def test_claims_go_with_their_pods(world: Any) -> None:
    """whenScaled: Delete gives the claim of a pod that is scaled away to that pod, and so to the collector."""
    await world.add_node("n1")
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    spec = stateful(2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
    await world.create(StatefulSet, spec)
    owners = owner_references(world.the(PersistentVolumeClaim, "data-web-1"))
    assert [ref["kind"] for ref in owners] == ["StatefulSet"]
    await world.patch(StatefulSet, "web", {"spec": {"replicas": 1}})
    await world.pass_time(2)
    assert world.names(PersistentVolumeClaim) == ["data-web-0"]
    await world.delete(StatefulSet, "web", propagationPolicy="Background")
    await world.pass_time(2)
    assert (world.names(Pod), world.names(PersistentVolumeClaim)) == ([], [])


async def test_an_orphan_with_its_name_is_adopted(world: Any) -> None:
    """A set deleted without its pods finds them again; pods with another name are not its own."""
    await world.add_node("n1")
    await world.create(StatefulSet, stateful())
    uids = sorted(uid_of(pod) for pod in world.pods())
    await world.delete(StatefulSet, "web", propagationPolicy="Orphan")
    stranger = {"metadata": {"name": "other", "namespace": "default", "labels": {"app": "web"}}}
    containers = [{"name": "main", "image": "ok:1"}]
    await world.create(Pod, {**stranger, "spec": {"containers": containers}})
    await world.create(StatefulSet, stateful())
    mine = uid_of(world.the(StatefulSet, "web"))
    owned = [pod for pod in world.pods() if [ref["uid"] for ref in owner_references(pod)] == [mine]]
    assert sorted(map(uid_of, owned)) == uids
    assert labels_of(world.the(Pod, "web-1"))["apps.kubernetes.io/pod-index"] == "1"
