"""hostPath: a file or directory of the node, checked or made by its type.

/var/lib/kubelet is the kubelet's own folder, wherever that is, so that node plugins find what they look for.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from minikube_py.kinds.storage.localpath import is_local_path
from minikube_py.kubelet.volumes.base import Mounted, VolumeContext, VolumeFailed, VolumeKind, words
from minikube_py.kubelet.volumes.localpath import make
from minikube_py.kubelet.volumes.persistent import Claimed, PersistentKind
from minikube_py.kubelet.volumes.storage import on_host
from minikube_py.meta.objects import Obj

CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}
MAKERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "DirectoryOrCreate": ("mkdir", lambda path: path.mkdir(parents=True, mode=0o755)),
    "FileOrCreate": ("open", lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))),
}
"""What is made by its type where it is missing, and what the kernel is asked for it."""


class HostPathVolume(VolumeKind):
    source = "hostPath"

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        return Mounted(await _found(context, volume["hostPath"]))


class HostPathPersistent(PersistentKind):
    source = "hostPath"
    mount_options = False

    async def mount(self, context: VolumeContext, claimed: Claimed) -> Mounted:
        if is_local_path(claimed.volume):
            await context.storage.run(lambda: make(claimed.volume, context.config.local_path_root))
        path = await _found(context, claimed.volume["spec"]["hostPath"])
        if claimed.is_block:
            await context.storage.run(lambda: _check(path, "BlockDevice"))
        return Mounted(path, claimed.read_only, claimed.is_block)


async def _found(context: VolumeContext, source: Obj) -> Path:
    """The path of a source on this node, checked. Errors: VolumeFailed, OSError."""
    path = on_host(Path(source["path"]), context.config.root_dir)
    await context.storage.run(lambda: _check(path, source.get("type") or ""))
    return path


def _check(path: Path, kind: str) -> None:
    if not kind:
        # like the container runtimes: what is bound but missing is made as a directory
        if not path.exists():
            path.mkdir(parents=True, mode=0o755)
        return
    if kind in MAKERS and not path.exists():
        what, maker = MAKERS[kind]
        try:
            maker(path)
        except OSError as error:
            raise VolumeFailed(f"{what} {words(error)}") from error
    if kind not in CHECKS:
        raise VolumeFailed(f"{kind} is an invalid volume type")
    fits, meaning = CHECKS[kind]
    if not path.exists() or not fits(path.stat().st_mode):
        raise VolumeFailed(f"hostPath type check failed: {path} is not {meaning}")
