"""subPath: a file or directory inside a volume, never outside, whatever symlinks a container has made there.

The path is resolved by the kernel within the volume (openat2 with RESOLVE_IN_ROOT) and bound by its file
descriptor to a place of our own, which is what the container mounts: no race can lead out. Linux 5.6+.
"""

import ctypes
import os
import stat
import struct
from functools import cache
from pathlib import Path

from minikube_py.kubelet.volumes.base import VolumeFailed
from minikube_py.kubelet.volumes.mounts import bind, unmount_below

SYS_OPENAT2 = 437  # the same number on every architecture
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10


@cache
def _syscall() -> "ctypes._NamedFuncPointer":
    return ctypes.CDLL(None, use_errno=True).syscall


def open_in(root: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of `path` resolved with the directory `root` as its root. Errors: OSError."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    result = int(_syscall()(SYS_OPENAT2, root, os.fsencode(path), how, len(how)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _make_missing(root: int, parts: list[str]) -> None:
    """Make the directories of `parts` that are missing below `root`, each opened before the next."""
    current = os.dup(root)
    try:
        done: list[str] = []
        for part in parts:
            done.append(part)
            try:
                deeper = open_in(root, "/".join(done))
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=current)
                deeper = open_in(root, "/".join(done))
            os.close(current)
            current = deeper
    finally:
        os.close(current)


def bind_subpath(volume: Path, subpath: str, place: Path, *, writable: bool) -> Path:
    """Bind `subpath` of `volume` at `place` (made as a file or directory); missing directories are made where
    the volume is writable. The path to mount. Blocking. Errors: VolumeFailed."""
    parts = [part for part in subpath.split("/") if part and part != "."]
    if subpath.startswith("/") or ".." in parts:
        raise VolumeFailed(f"subPath {subpath!r} must be relative and without '..'")
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if writable:
            _make_missing(root, parts)
        target = open_in(root, "/".join(parts) or ".")
    except (OSError, NotADirectoryError) as error:
        raise VolumeFailed(f"failed to prepare subPath {subpath!r}: {error.strerror}") from error
    finally:
        os.close(root)
    try:
        _bind(target, place)
    finally:
        os.close(target)
    return place


def _bind(target: int, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.fstat(target)
    if place.exists():
        there = place.stat()
        if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
            return  # bound by an earlier start of the container
        unmount_below(place)
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink()
    if stat.S_ISDIR(wanted.st_mode):
        place.mkdir()
    else:
        place.touch()
    bind(f"/proc/self/fd/{target}", place)
