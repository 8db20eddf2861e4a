"""The node's side of local-path volumes: folders made for pods and removed with their volume, on real disks."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from volume_node import VolumeNode, claim_volume, volume_node, volume_pod

from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.storage.localpath import FINALIZER, PROVISIONER
from minikube_py.kubelet.volumes import mounts
from minikube_py.kubelet.volumes.localpath import LocalPaths, folder_of, is_over, make
from minikube_py.meta.objects import Key, Obj

MADE = {"pv.kubernetes.io/provisioned-by": PROVISIONER}
HERE = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}]
NODE = {"metadata": {"name": "node-1", "labels": {"kubernetes.io/hostname": "node-1"}}}
PROTECTION = "kubernetes.io/pv-protection"


def a_volume(path: Path, name: str = "pvc-1", finalizers: tuple[str, ...] = (FINALIZER,)) -> Obj:
    spec = {
        "hostPath": {"path": str(path), "type": "DirectoryOrCreate"},
        "persistentVolumeReclaimPolicy": "Delete",
        "nodeAffinity": {"required": {"nodeSelectorTerms": HERE}},
    }
    meta = {"name": name, "annotations": MADE, "finalizers": list(finalizers), "deletionTimestamp": "now"}
    return {"metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/root/pvc-1", True), ("/root/other", False), ("/etc/pvc-1", False), ("/root/../pvc-1", False)],
)
def test_which_folder_is_ours(path: str, expected: bool) -> None:
    """Only a folder right in the root, of the volume's own name, is made or removed."""
    assert (folder_of(a_volume(Path(path)), Path("/root")) is not None) == expected


@pytest.mark.parametrize(
    ("finalizers", "node", "expected"),
    [
        ((FINALIZER,), NODE, True),
        ((FINALIZER, PROTECTION), NODE, False),
        ((), NODE, False),
        ((FINALIZER,), {"metadata": {"name": "node-2"}}, False),
        ((FINALIZER,), None, False),
    ],
)
def test_when_a_folder_goes(finalizers: tuple[str, ...], node: Obj | None, expected: bool) -> None:
    """A folder goes once its volume is deleted and no claim is bound to it, on its own node."""
    assert is_over(a_volume(Path("/root/pvc-1"), finalizers=finalizers), node) == expected


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    """A folder is writable by everyone from the start, and left alone from then on."""
    volume = a_volume(tmp_path / "root" / "pvc-1")
    make(volume, tmp_path / "root")
    folder = tmp_path / "root" / "pvc-1"
    assert folder.stat().st_mode & 0o777 == 0o777
    folder.chmod(0o700)
    make(volume, tmp_path / "root")
    assert (folder.stat().st_mode & 0o777, os.listdir(tmp_path / "root")) == (0o700, ["pvc-1"])


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[VolumeNode]:
    async with volume_node(tmp_path) as made:
        config = replace(made.config, local_path_root=tmp_path / "storage")
        made.config = made.storage.config = config
        hostname = {"metadata": {"labels": {"kubernetes.io/hostname": "node-1"}}}
        await made.client.patch(Node, Key("", "node-1"), hostname)
        yield made


async def bound(node: VolumeNode) -> Path:
    """A claim `data` with a local-path volume, mounted once; its folder."""
    folder = node.folder / "storage" / "data"
    source = {"hostPath": {"path": str(folder), "type": "DirectoryOrCreate"}}
    affinity = {"required": {"nodeSelectorTerms": HERE}}
    policy = {"persistentVolumeReclaimPolicy": "Delete"}
    await node.bound("data", source, nodeAffinity=affinity, **policy)
    meta = {"metadata": {"annotations": MADE, "finalizers": [FINALIZER]}}
    await node.client.patch(PersistentVolume, Key("", "data"), meta)
    assert await node.failure(volume_pod("web", claim_volume("data"))) == ""
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("data")
    return folder


async def gone(node: VolumeNode) -> None:
    """Wait until the volume is gone."""
    done = asyncio.Event()
    stop = node.client.cache.subscribe(
        PersistentVolume, lambda change: done.set() if change.type == "DELETED" else None
    )
    try:
        await asyncio.wait_for(done.wait(), 10)
    finally:
        stop()


async def test_a_deleted_volume_takes_its_folder_along(node: VolumeNode) -> None:
    """The folder goes with all that is in it, but nothing that a symlink leads to; then the volume goes."""
    folder, precious = await bound(node), node.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    (folder / "link").symlink_to(precious)
    async with Tasks("test") as tasks:
        tasks.spawn(LocalPaths(node.storage).run(), "local-paths")
        await node.client.delete(PersistentVolume, Key("", "data"))
        await gone(node)
    assert (folder.exists(), (precious / "file").read_text()) == (False, "keep")


async def test_a_folder_is_kept_where_the_volume_retains(node: VolumeNode) -> None:
    """A volume that retains goes without its folder."""
    folder = await bound(node)
    retain = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
    await node.client.patch(PersistentVolume, Key("", "data"), retain)
    async with Tasks("test") as tasks:
        tasks.spawn(LocalPaths(node.storage).run(), "local-paths")
        await node.client.delete(PersistentVolume, Key("", "data"))
        await gone(node)
    assert (folder / "deep" / "file").read_text() == "data"


async def told_of(node: VolumeNode) -> Obj:
    """The first event about what could not be deleted."""
    found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

    def see(change: Change) -> None:
        if change.object["reason"] == "VolumeFailedDelete" and not found.done():
            found.set_result(change.object)

    stop = node.client.cache.subscribe(Event, see)
    try:
        return await asyncio.wait_for(found, 10)
    finally:
        stop()


async def test_a_mount_in_a_folder_is_not_emptied(node: VolumeNode) -> None:
    """While something is mounted in the folder the volume stays, and it is told why; then it goes."""
    folder, other = await bound(node), node.folder / "other"
    other.mkdir()
    (other / "file").write_text("keep")
    mounts.bind_with(other, folder / "deep", [])
    async with Tasks("test") as tasks:
        task = tasks.spawn(LocalPaths(node.storage).run(), "local-paths")
        await node.client.delete(PersistentVolume, Key("", "data"))
        told = await told_of(node)
        assert f"cannot remove {folder}" in told["message"]
        mounts.unmount_below(folder)
        await gone(node)
        assert not task.done()
    assert (folder.exists(), (other / "file").read_text()) == (False, "keep")
