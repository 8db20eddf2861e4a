"""local: a folder or disk of this node as a PersistentVolume, where its node affinity allows.

A folder is bound into the pod's own. A disk is handed to containers as a device, or formatted where it holds
nothing yet, mounted once for all pods, and taken down with the last of them (`teardown`).
"""

import os
import stat
from pathlib import Path

from minikube_py.aio import process
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.podspec.nodefit import matches_term
from minikube_py.kubelet.volumes import mounts
from minikube_py.kubelet.volumes.base import Mounted, VolumeContext, VolumeFailed
from minikube_py.kubelet.volumes.ownership import change_policy, give, group_of
from minikube_py.kubelet.volumes.persistent import Claimed, PersistentKind
from minikube_py.kubelet.volumes.storage import on_host
from minikube_py.meta.objects import Key, Obj, dig

NEW = "MountVolume.NewMounter initialization"
DEVICE_MOUNTS = "plugins/kubernetes.io/local-volume/mounts"
DEFAULT_TYPE = "ext4"
FORMATTED = 300.0  # seconds that making a file system may take


class LocalPersistent(PersistentKind):
    source = "local"

    async def mount(self, context: VolumeContext, claimed: Claimed) -> Mounted:
        _check_node(context, claimed)
        source = claimed.volume["spec"]["local"]
        path = on_host(Path(source["path"]), context.config.root_dir)
        mode = await context.storage.run(lambda: _mode(path, claimed.name))
        if claimed.is_block:
            if not stat.S_ISBLK(mode):
                raise VolumeFailed(f"{path} is not a block device", step="MapVolume.SetUpDevice")
            return Mounted(path, claimed.read_only, device=True)
        if stat.S_ISBLK(mode):
            path = await _mounted_device(context, claimed, path)
        elif not stat.S_ISDIR(mode):
            raise VolumeFailed(f'path "{path}" is neither a folder nor a block device', step=NEW)
        directory = context.directory("local-volume", claimed.name)
        await context.storage.run(lambda: _bind(path, directory, context.pod, claimed))
        return Mounted(directory, claimed.read_only)


def _check_node(context: VolumeContext, claimed: Claimed) -> None:
    terms = dig(claimed.volume, "spec.nodeAffinity.required.nodeSelectorTerms")
    node = context.client.cache.get(Node, Key("", context.config.node_name))
    if terms is not None and node is not None and not any(matches_term(term, node) for term in terms):
        raise VolumeFailed("no matching NodeSelectorTerms", step="MountVolume.NodeAffinity check")


def _mode(path: Path, name: str) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError as error:
        raise VolumeFailed(f'path "{path}" does not exist', step=NEW, name=name) from error


def _bind(path: Path, directory: Path, pod: Obj, claimed: Claimed) -> None:
    if mounts.is_mounted(directory):
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    options = [*claimed.options, *(["ro"] if claimed.read_only else [])]
    if (group := group_of(pod)) is not None and not claimed.read_only:
        give(path, group, policy=change_policy(pod))
    mounts.bind_with(path, directory, options)


async def _mounted_device(context: VolumeContext, claimed: Claimed, device: Path) -> Path:
    """Where the file system of a disk is mounted for all pods; made where the disk holds none."""
    place = context.config.root_dir / DEVICE_MOUNTS / claimed.name
    asked = claimed.volume["spec"]["local"].get("fsType") or ""
    async with context.storage.lock(f"local/{claimed.name}"):
        if await context.storage.run(lambda: mounts.is_mounted(place)):
            return place
        kind = await _file_system(device)
        if kind == "":
            kind = asked or DEFAULT_TYPE
            await _format(device, kind)
        elif asked and kind != asked:
            raise VolumeFailed(
                f"failed to mount the volume as {asked!r}, it already contains {kind}",
                step="MountVolume.MountDevice",
            )
        flags, options = mounts.mount_flags(claimed.options)

        def mount() -> None:
            place.mkdir(parents=True, exist_ok=True, mode=0o750)
            mounts.mount(os.fspath(device), place, kind, flags, options)

        await context.storage.run(mount)
    return place


async def _file_system(device: Path) -> str:
    """The type of what a disk holds, '' for nothing (blkid(8) ends with 2 then)."""
    found = await process.run(("blkid", "-p", "-s", "TYPE", "-o", "value", str(device)), check=False)
    if found.code not in (0, 2):
        raise VolumeFailed(
            f"cannot tell what {device} holds: {found.stderr.strip()}", step="MountVolume.MountDevice"
        )
    return found.stdout.strip()


async def _format(device: Path, kind: str) -> None:
    options = ("-F", "-m0") if kind.startswith("ext") else ("-f",) if kind == "xfs" else ()
    try:
        await process.run((f"mkfs.{kind}", *options, str(device)), timeout=FORMATTED)
    except (process.CommandFailed, FileNotFoundError, TimeoutError) as error:
        told = f"failed to format {device} as {kind!r}: {error}"
        raise VolumeFailed(told, step="MountVolume.MountDevice") from error
