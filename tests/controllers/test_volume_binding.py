"""Claims and volumes: matching as a table, binding and release in virtual time."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.volumematching import best_match, is_bound
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.objects import Key, Obj, annotations_of, dig, name_of, uid_of


def a_volume(name: str, size: str = "1Gi", **spec: Any) -> Obj:
    wanted = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/x"}}
    return {"metadata": {"name": name}, "spec": wanted | spec, "status": {"phase": "Available"}}


def a_claim(name: str = "data", size: str = "1Gi", **spec: Any) -> Obj:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": wanted | {"storageClassName": ""} | spec,
    }


RESERVED = {"claimRef": {"namespace": "default", "name": "data"}}
TAKEN = {"claimRef": {"namespace": "default", "name": "other"}}
BOTH_MODES = {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}


@pytest.mark.parametrize(
    ("claim", "volumes", "expected"),
    [
        (a_claim(), [a_volume("big", "5Gi"), a_volume("fits", "2Gi")], "fits"),
        (a_claim(), [a_volume("small", "1Mi")], None),
        (a_claim(), [a_volume("wide", "1Gi", **BOTH_MODES), a_volume("narrow", "2Gi")], "narrow"),
        (a_claim(accessModes=["ReadOnlyMany"]), [a_volume("a"), a_volume("b", **BOTH_MODES)], "b"),
        (a_claim(), [a_volume("free"), a_volume("mine", "9Gi", **RESERVED)], "mine"),
        (a_claim(), [a_volume("theirs", **TAKEN)], None),
        (a_claim(storageClassName="fast"), [a_volume("a"), a_volume("b", storageClassName="fast")], "b"),
        (a_claim(volumeMode="Block"), [a_volume("a"), a_volume("b", volumeMode="Block")], "b"),
        (a_claim(selector={"matchLabels": {"tier": "db"}}), [a_volume("a")], None),
    ],
)
def test_the_best_match(claim: Obj, volumes: list[Obj], expected: str | None) -> None:
    """The smallest free volume with the fewest modes that satisfies the claim, or the one set aside for it."""
    found = best_match(claim, volumes)
    assert (name_of(found) if found else None) == expected


def phases(world: Any) -> dict[str, str]:
    found = [*world.cache.list(PersistentVolumeClaim), *world.cache.list(PersistentVolume)]
    return {name_of(obj): dig(obj, "status.phase") for obj in found}


@pytest.mark.parametrize("claim_first", [True, False])
async def test_a_claim_is_bound_whichever_comes_first(world: Any, claim_first: bool) -> None:
    """A claim and a volume that suit each other are bound, each naming the other, in either order."""
    objects = [(PersistentVolumeClaim, a_claim()), (PersistentVolume, a_volume("disk", "2Gi"))]
    for kind, obj in objects if claim_first else reversed(objects):
        await world.create(kind, obj)
    claim, volume = world.the(PersistentVolumeClaim, "data"), world.the(PersistentVolume, "disk")
    assert phases(world) == {"data": "Bound", "disk": "Bound"}
    assert (claim["spec"]["volumeName"], volume["spec"]["claimRef"]["uid"]) == ("disk", uid_of(claim))
    assert (claim["status"]["capacity"], is_bound(claim)) == ({"storage": "2Gi"}, True)


async def test_a_released_volume_is_kept(world: Any) -> None:
    """With Retain a volume outlives its claim as Released, and is given to no other claim."""
    await world.create(PersistentVolume, a_volume("disk"))
    await world.create(PersistentVolumeClaim, a_claim())
    await world.delete(PersistentVolumeClaim, "data")
    assert phases(world) == {"disk": "Released"}
    await world.create(PersistentVolumeClaim, a_claim())
    assert phases(world) == {"data": "Pending", "disk": "Released"}
    assert "no persistent volumes available" in world.events("FailedBinding")[-1]
    await world.patch(PersistentVolume, "disk", {"spec": {"claimRef": None}})
    assert phases(world) == {"data": "Bound", "disk": "Bound"}


async def test_what_others_tell_of_a_volume_is_kept(world: Any) -> None:
    """A message in the status of a volume stays as long as its phase does."""
    await world.create(PersistentVolume, a_volume("one"))
    told = {"status": {"message": "checked", "reason": "Test"}}
    await world.api.patch(PersistentVolume, Key("", "one"), told, subresource="status")
    await world.pass_time(1)
    status = world.the(PersistentVolume, "one")["status"]
    assert (status["phase"], status["message"], status["reason"]) == ("Available", "checked", "Test")


async def test_a_lost_volume(world: Any) -> None:
    """A bound claim whose volume is removed by force is Lost."""
    await world.create(PersistentVolume, a_volume("disk"))
    await world.create(PersistentVolumeClaim, a_claim())
    await world.patch(PersistentVolume, "disk", {"metadata": {"finalizers": None}})
    await world.delete(PersistentVolume, "disk")
    await world.patch(PersistentVolume, "disk", {"metadata": {"finalizers": None}})
    assert phases(world) == {"data": "Lost"}
    told = ["Bound claim has lost its PersistentVolume. Data on the volume is lost!"]
    assert world.events("ClaimLost") == told


async def test_claims_that_wait_for_a_pod(world: Any) -> None:
    """With WaitForFirstConsumer nothing is bound or asked for until a node has been chosen."""
    meta = {"name": "late"}
    late = {"metadata": meta, "provisioner": "example.com/disks", "volumeBindingMode": "WaitForFirstConsumer"}
    await world.create(StorageClass, late)
    await world.create(PersistentVolume, a_volume("disk", storageClassName="late"))
    await world.create(
        PersistentVolumeClaim,
        a_claim(storageClassName="late", resources=a_claim("", "9Gi")["spec"]["resources"]),
    )
    assert phases(world) == {"data": "Pending", "disk": "Available"}
    assert world.events("WaitForFirstConsumer") == ["waiting for first consumer to be created before binding"]
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}
    await world.patch(PersistentVolumeClaim, "data", chosen)
    claim = world.the(PersistentVolumeClaim, "data")
    assert annotations_of(claim)["volume.kubernetes.io/storage-provisioner"] == "example.com/disks"
    assert "external provisioner 'example.com/disks'" in world.events("ExternalProvisioning")[0]


async def test_a_claim_that_names_its_volume(world: Any) -> None:
    """A claim may name its volume; one that does not satisfy it, or is another's, is not bound."""
    await world.create(PersistentVolume, a_volume("small", "1Mi"))
    await world.create(PersistentVolumeClaim, a_claim(volumeName="small"))
    assert world.events("VolumeMismatch") == [
        'Cannot bind to requested volume "small": requested PV is too small'
    ]
    await world.create(PersistentVolumeClaim, a_claim("tiny", "1Mi", volumeName="small"))
    assert phases(world) == {"data": "Pending", "tiny": "Bound", "small": "Bound"}


async def test_free_volumes_are_the_schedulers_to_give(world: Any) -> None:
    """With WaitForFirstConsumer a free volume is not taken, even once a node is chosen; one set aside is."""
    meta = {"name": "late"}
    late = {"metadata": meta, "provisioner": "example.com/disks", "volumeBindingMode": "WaitForFirstConsumer"}
    await world.create(StorageClass, late)
    await world.create(PersistentVolume, a_volume("disk", storageClassName="late"))
    await world.create(PersistentVolumeClaim, a_claim(storageClassName="late"))
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}
    await world.patch(PersistentVolumeClaim, "data", chosen)
    assert phases(world) == {"data": "Pending", "disk": "Available"}
    reserved = {"claimRef": {"namespace": "default", "name": "data"}}
    await world.patch(PersistentVolume, "disk", {"spec": reserved})
    assert phases(world) == {"data": "Bound", "disk": "Bound"}


async def test_a_claim_without_class_gets_the_default_one_later(world: Any) -> None:
    """A claim that was made before there was a default class gets it once there is one."""
    claim = a_claim()
    del claim["spec"]["storageClassName"]
    await world.create(PersistentVolumeClaim, claim)
    message = "no persistent volumes available for this claim and no storage class is set"
    assert world.events("FailedBinding") == [message]
    marked = {"name": "late", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    await world.create(StorageClass, {"metadata": marked, "provisioner": "example.com/disks"})
    claim = world.the(PersistentVolumeClaim, "data")
    assert claim["spec"]["storageClassName"] == "late"
    assert annotations_of(claim)["volume.kubernetes.io/storage-provisioner"] == "example.com/disks"


async def test_each_phase_has_its_time(world: Any) -> None:
    """A volume tells since when it is in its phase."""
    await world.create(PersistentVolume, a_volume("disk", persistentVolumeReclaimPolicy="Retain"))
    since = []
    for step in (None, PersistentVolumeClaim):
        await world.pass_time(10)
        if step is not None:
            await world.create(PersistentVolumeClaim, a_claim())
        since.append(world.the(PersistentVolume, "disk")["status"]["lastPhaseTransitionTime"])
    assert since[0] < since[1]


@pytest.mark.parametrize(
    ("policy", "kept", "fault"),
    [
        ("Delete", False, ""),
        ("Recycle", True, ""),
        ("Delete", True, "host_path deleter only supports /tmp/.+ but received provided /var{}"),
    ],
)
async def test_a_host_path_is_reclaimed(world: Any, policy: str, kept: bool, fault: str) -> None:
    """A folder below /tmp is removed with its volume, another one is for people; a recycled one is empty, and
    its volume free again."""
    with TemporaryDirectory(dir="/tmp") as folder:
        (Path(folder) / "d" / "deep").mkdir(parents=True)
        path = f"/var{folder}" if fault else f"{folder}/d"
        spec = {"persistentVolumeReclaimPolicy": policy, "hostPath": {"path": path}}
        await world.create(PersistentVolume, a_volume("disk", **spec))
        await world.create(PersistentVolumeClaim, a_claim())
        await world.delete(PersistentVolumeClaim, "data")
        await world.pass_time(2)
        expected = ({} if not kept else {"disk": "Failed" if fault else "Available"}, fault.format(folder))
        volume = world.get(PersistentVolume, "disk", "") or {}
        assert expected == (phases(world), dig(volume, "status.message", ""))
        left = sorted(str(found.relative_to(folder)) for found in Path(folder).rglob("*"))
        assert left == (["d", "d/deep"] if fault else ["d"] if kept else [])
        assert dig(volume, "spec.claimRef") is None or bool(fault)
