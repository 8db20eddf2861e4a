"""Claims and volumes stay while they are used, and go afterwards."""

from typing import Any

from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.storage.volumeattributesclass import VolumeAttributesClass
from minikube_py.meta.objects import Obj, is_deleting

STORAGE = {"storage": "1Gi"}


def claim(name: str) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": STORAGE}}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def user(name: str, **volume: Any) -> Obj:
    spec = {"containers": [{"name": "main", "image": "ok:1"}], "volumes": [{"name": "v", **volume}]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def test_used_claim_waits_for_its_pod(world: Any) -> None:
    """A deleted claim goes with the last pod that a node runs with it; one that nobody uses goes at once."""
    await world.add_node("n1")
    for name in ("used", "free"):
        await world.create(PersistentVolumeClaim, claim(name))
    assert world.the(PersistentVolumeClaim, "free")["metadata"]["finalizers"] == [
        "kubernetes.io/pvc-protection"
    ]
    await world.create(Pod, user("p", persistentVolumeClaim={"claimName": "used"}))
    for name in ("used", "free"):
        await world.delete(PersistentVolumeClaim, name)
    assert (world.names(PersistentVolumeClaim), is_deleting(world.the(PersistentVolumeClaim, "used"))) == (
        ["used"],
        True,
    )
    await world.delete(Pod, "p")
    await world.pass_time(1)
    assert world.names(PersistentVolumeClaim) == []


async def test_bound_volume_waits_for_its_claim(world: Any) -> None:
    """A deleted volume goes once it is bound no more."""
    source = {"hostPath": {"path": "/tmp/x"}}
    spec = {"capacity": STORAGE, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain"}
    await world.create(PersistentVolume, {"metadata": {"name": "v"}, "spec": spec | source})
    bound = claim("c")
    await world.create(PersistentVolumeClaim, {**bound, "spec": {**bound["spec"], "storageClassName": ""}})
    await world.delete(PersistentVolume, "v")
    assert is_deleting(world.the(PersistentVolume, "v"))
    await world.delete(PersistentVolumeClaim, "c")
    assert world.names(PersistentVolume, "") == []


async def test_attributes_wait_for_those_who_name_them(world: Any) -> None:
    """A deleted VolumeAttributesClass goes once no claim names it."""
    body = {"metadata": {"name": "gold"}, "driverName": "d", "parameters": {"a": "b"}}
    await world.create(VolumeAttributesClass, body)
    named = claim("c")
    await world.create(
        PersistentVolumeClaim, {**named, "spec": {**named["spec"], "volumeAttributesClassName": "gold"}}
    )
    await world.delete(VolumeAttributesClass, "gold", "")
    kept = world.the(VolumeAttributesClass, "gold", "")
    assert (is_deleting(kept), kept["metadata"]["finalizers"]) == (True, ["kubernetes.io/vac-protection"])
    await world.delete(PersistentVolumeClaim, "c")
    await world.pass_time(1)
    assert world.names(VolumeAttributesClass, "") == []
