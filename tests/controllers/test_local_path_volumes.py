"""Local-path volumes: what is provisioned as a table; making, deleting and growing them in virtual time."""

from typing import Any

import pytest

from minikube_py.controllers.volumes.localpath import Refusal, volume_for
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.storage.localpath import FINALIZER, PROVISIONER, ROOT
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.objects import Key, Obj, annotations_of, dig, name_of, uid_of

SELECTED = "volume.kubernetes.io/selected-node"
ASKED = {"volume.kubernetes.io/storage-provisioner": PROVISIONER}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
FAILED = 'failed to provision volume with StorageClass "folders": '


def a_class(mode: str = "WaitForFirstConsumer", **more: Any) -> Obj:
    made = {"metadata": {"name": "folders"}, "provisioner": PROVISIONER, "volumeBindingMode": mode}
    return made | {"reclaimPolicy": "Delete", "allowVolumeExpansion": True} | more


def a_claim(annotations: Obj | None = None, **spec: Any) -> Obj:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "data", "namespace": "default", "uid": "u1", "resourceVersion": "7"}
    return {
        "metadata": meta | {"annotations": ASKED | (annotations or {})},
        "spec": wanted | {"storageClassName": "folders"} | spec,
    }


def a_node(name: str = "n1", **more: Any) -> Obj:
    meta = {"name": name, "labels": {"kubernetes.io/hostname": name}, "annotations": {ROOT: f"/data/{name}"}}
    return {"metadata": meta, "spec": {}, "status": READY} | more


HERE = {SELECTED: "n1"}
NO_NODE = "no node is ready, schedulable and in the allowed topologies"
ZONE = [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["n2"]}]}]
TAINTED = a_node(spec={"taints": [{"key": "k", "effect": "NoSchedule"}]})


@pytest.mark.parametrize(
    ("claim", "storage_class", "nodes", "expected"),
    [
        (a_claim(HERE), a_class(), [a_node()], "/data/n1/pvc-u1"),
        (a_claim(), a_class(), [a_node()], None),
        (a_claim(HERE), None, [a_node()], None),
        (a_claim(HERE | {next(iter(ASKED)): "other.io/disks"}), a_class(), [a_node()], None),
        (a_claim(HERE, volumeName="there"), a_class(), [a_node()], None),
        (a_claim(), a_class("Immediate"), [a_node("n2"), a_node()], "/data/n1/pvc-u1"),
        (a_claim(), a_class("Immediate", allowedTopologies=ZONE), [a_node(), a_node("n2")], "/data/n2/pvc-u1"),
        (a_claim(), a_class("Immediate"), [], Refusal(FAILED + NO_NODE)),
        (a_claim(), a_class("Immediate"), [a_node(status={})], Refusal(FAILED + NO_NODE)),
        (a_claim(), a_class("Immediate"), [TAINTED], Refusal(FAILED + NO_NODE)),
        (a_claim(HERE), a_class(), [], Refusal('failed to get target node: nodes "n1" not found', True)),
        (
            a_claim(HERE, volumeMode="Block"),
            a_class(),
            [a_node()],
            Refusal(f"{FAILED}{PROVISIONER} does not support block volume provisioning"),
        ),
        (
            a_claim(HERE, selector={"matchLabels": {"a": "b"}}),
            a_class(),
            [a_node()],
            Refusal(FAILED + "claim Selector is not supported"),
        ),
        (
            a_claim(HERE, dataSource={"kind": "PersistentVolumeClaim", "name": "old"}),
            a_class(),
            [a_node()],
            Refusal(f"{FAILED}{PROVISIONER} does not support data sources: the volume would be empty"),
        ),
    ],
)
def test_what_is_provisioned(
    claim: Obj, storage_class: Obj | None, nodes: list[Obj], expected: str | Refusal | None
) -> None:
    """A claim gets a folder of the node chosen for it, or of one that pods can come to; or is told why not."""
    made = volume_for(claim, storage_class, nodes)
    assert (dig(made, "spec.hostPath.path") if isinstance(made, dict) else made) == expected


def test_the_volume_of_a_claim() -> None:
    """A volume belongs to its claim and its node, and has what claim and class say."""
    made = volume_for(a_claim(HERE), a_class(mountOptions=["ro"], reclaimPolicy="Retain"), [a_node()])
    assert isinstance(made, dict)
    assert made["metadata"] == {
        "name": "pvc-u1",
        "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        "finalizers": [FINALIZER],
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}
    assert made["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": "default",
            "name": "data",
            "uid": "u1",
            "resourceVersion": "7",
        },
        "hostPath": {"path": "/data/n1/pvc-u1", "type": "DirectoryOrCreate"},
        "mountOptions": ["ro"],
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "folders",
        "volumeMode": "Filesystem",
    }


async def started(world: Any, node: Obj | None = None, **of_class: Any) -> Obj:
    """A node, the class, and a claim of it; the claim."""
    await world.create(Node, {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}})
    if node:
        await world.patch(Node, "n1", node)
    world.beating.add("n1")
    await world.beat("n1")
    await world.create(StorageClass, a_class(**of_class))
    spec = a_claim()["spec"]
    await world.create(
        PersistentVolumeClaim, {"metadata": {"name": "data", "namespace": "default"}, "spec": spec}
    )
    claim: Obj = world.the(PersistentVolumeClaim, "data")
    return claim


async def test_a_volume_lives_as_long_as_its_claim(world: Any) -> None:
    """A claim is bound once its node is chosen; with the claim goes its volume."""
    claim = await started(world)
    assert (dig(claim, "status.phase"), world.names(PersistentVolume, "")) == ("Pending", [])
    await world.patch(PersistentVolumeClaim, "data", {"metadata": {"annotations": {SELECTED: "n1"}}})
    name = f"pvc-{uid_of(claim)}"
    volume, claim = world.the(PersistentVolume, name), world.the(PersistentVolumeClaim, "data")
    assert (dig(claim, "status.phase"), dig(claim, "spec.volumeName")) == ("Bound", name)
    assert (dig(volume, "status.phase"), dig(claim, "status.capacity.storage")) == ("Bound", "1Gi")
    assert world.events("Provisioning") == [
        'External provisioner is provisioning volume for claim "default/data"'
    ]
    assert world.events("ProvisioningSucceeded") == [f"Successfully provisioned volume {name}"]
    await world.delete(PersistentVolumeClaim, "data")
    assert (world.names(PersistentVolumeClaim), world.names(PersistentVolume, "")) == ([], [])


async def test_a_retained_volume_outlives_its_claim(world: Any) -> None:
    """With Retain the volume is Released, and stays."""
    claim = await started(world, mode="Immediate", reclaimPolicy="Retain")
    await world.delete(PersistentVolumeClaim, "data")
    assert dig(world.the(PersistentVolume, f"pvc-{uid_of(claim)}"), "status.phase") == "Released"


async def test_the_node_has_the_last_word(world: Any) -> None:
    """A volume waits for its node to remove the folder; if the node goes, the volume goes too."""
    claim = await started(world, {"metadata": {"annotations": {ROOT: "/data"}}}, mode="Immediate")
    name = f"pvc-{uid_of(claim)}"
    await world.delete(PersistentVolumeClaim, "data")
    volume = world.the(PersistentVolume, name)
    assert (volume["metadata"]["finalizers"], dig(volume, "status.phase")) == ([FINALIZER], "Released")
    await world.delete(Node, "n1")
    assert world.names(PersistentVolume, "") == []


async def test_a_node_that_is_gone_is_chosen_anew(world: Any) -> None:
    """Where the chosen node is not there, the choice is taken back."""
    await started(world)
    await world.patch(PersistentVolumeClaim, "data", {"metadata": {"annotations": {SELECTED: "gone"}}})
    assert world.events("ProvisioningFailed") == ['failed to get target node: nodes "gone" not found']
    assert SELECTED not in annotations_of(world.the(PersistentVolumeClaim, "data"))


async def test_a_node_that_becomes_ready_gets_the_volume(world: Any) -> None:
    """A claim that found no node is served once there is one."""
    await world.create(StorageClass, a_class("Immediate"))
    spec = a_claim()["spec"]
    await world.create(
        PersistentVolumeClaim, {"metadata": {"name": "data", "namespace": "default"}, "spec": spec}
    )
    assert world.events("ProvisioningFailed") == [FAILED + NO_NODE]
    await world.add_node("n1")
    assert dig(world.the(PersistentVolumeClaim, "data"), "status.phase") == "Bound"


async def test_a_volume_grows(world: Any) -> None:
    """A claim that asks for more gets it: its volume's capacity, then its own."""
    claim = await started(world, mode="Immediate")
    await world.patch(PersistentVolumeClaim, "data", {"spec": {"resources": {"requests": {"storage": "3Gi"}}}})
    volume = world.the(PersistentVolume, f"pvc-{uid_of(claim)}")
    status = world.the(PersistentVolumeClaim, "data")["status"]
    assert dig(volume, "spec.capacity") == {"storage": "3Gi"}
    assert status == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "3Gi"},
        "allocatedResources": {"storage": "3Gi"},
    }
    assert world.events("Resizing") == [f"External resizer is resizing volume {name_of(volume)}"]
    assert world.events("VolumeResizeSuccessful") == ["Resize volume succeeded"]


async def test_growing_goes_on_after_a_crash(world: Any) -> None:
    """A claim that was left in the middle of growing is led to the end."""
    claim = await started(world, mode="Immediate")
    stopped = {
        "conditions": [{"type": "Resizing", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "allocatedResources": {"storage": "2Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
    }
    key = Key("default", "data")
    await world.api.patch(PersistentVolumeClaim, key, {"status": stopped}, subresource="status")
    await world.patch(PersistentVolumeClaim, "data", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    status = world.the(PersistentVolumeClaim, "data")["status"]
    assert (status["capacity"], "conditions" in status) == ({"storage": "2Gi"}, False)
    assert dig(world.the(PersistentVolume, f"pvc-{uid_of(claim)}"), "spec.capacity.storage") == "2Gi"
    assert world.events("Resizing") == []


async def test_volumes_of_others_grow_elsewhere(world: Any) -> None:
    """For a volume of a CSI driver the claim is told that its resizer is waited for."""
    volume = {
        "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "disks.example.com", "volumeHandle": "h1"},
        },
    }
    await world.create(PersistentVolume, volume)
    claim = {"metadata": {"name": "data", "namespace": "default"}, "spec": a_claim(storageClassName="")["spec"]}
    await world.create(PersistentVolumeClaim, claim)
    wanted = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    await world.patch(PersistentVolumeClaim, "data", wanted)
    assert world.events("ExternalExpanding") == ["waiting for an external controller to expand this PVC"]
    assert dig(world.the(PersistentVolume, "disk"), "spec.capacity.storage") == "1Gi"
