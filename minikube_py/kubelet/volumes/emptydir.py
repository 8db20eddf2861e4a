"""emptyDir: a directory that lives as long as its pod, on disk or in memory."""

import asyncio
import os
from pathlib import Path

from minikube_py.kubelet.volumes.base import VolumeContext, VolumeKind
from minikube_py.kubelet.volumes.mounts import is_mounted, mount_tmpfs
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import parse_quantity


class EmptyDirVolume(VolumeKind):
    source = "emptyDir"

    async def make(self, context: VolumeContext, volume: Obj) -> Path:
        directory = context.directory("empty-dir", volume["name"])
        source = volume.get("emptyDir") or {}
        await asyncio.to_thread(_make, directory, source, context.fs_group)
        return directory


def _make(directory: Path, source: Obj, group: int | None) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if source.get("medium", "").startswith("Memory") and not is_mounted(directory):
        limit = source.get("sizeLimit")
        mount_tmpfs(directory, size=int(parse_quantity(limit)) if limit else 0)
    directory.chmod(0o777)
    if group is not None:
        os.chown(directory, -1, group)
        directory.chmod(0o2777)
