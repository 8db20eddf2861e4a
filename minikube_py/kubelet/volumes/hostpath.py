"""hostPath: a file or directory of the node, checked or made by its type."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

from minikube_py.kubelet.volumes.base import VolumeContext, VolumeFailed, VolumeKind
from minikube_py.meta.objects import Obj

CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class HostPathVolume(VolumeKind):
    source = "hostPath"

    async def make(self, context: VolumeContext, volume: Obj) -> Path:
        source = volume["hostPath"]
        path = Path(source["path"])
        await asyncio.to_thread(_check, path, source.get("type") or "")
        return path


def _check(path: Path, kind: str) -> None:
    if not kind:
        # like the container runtimes: what is bound but missing is made as a directory
        if not path.exists():
            path.mkdir(parents=True, mode=0o755)
        return
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    if kind == "FileOrCreate" and not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    fits, meaning = CHECKS[kind]
    if not path.exists() or not fits(path.stat().st_mode):
        raise VolumeFailed(f"hostPath type check failed: {path} is not {meaning}")
