"""mount(2) and umount(2) without a subprocess: tmpfs for volumes in memory, and taking down what was mounted.

All calls block for microseconds. They need CAP_SYS_ADMIN; errors are OSError.
"""

import ctypes
import os
from functools import cache
from pathlib import Path

MS_NOSUID, MS_NODEV = 2, 4
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def mount_tmpfs(path: Path, size: int = 0) -> None:
    """Mount an empty tmpfs of at most `size` bytes (0: the kernel's default) at `path`."""
    options = f"size={size},mode=0755" if size else "mode=0755"
    _check(_libc().mount(b"tmpfs", os.fsencode(path), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode()), path)


def bind(source: Path | str, target: Path) -> None:
    """Bind-mount `source` at `target`."""
    _check(_libc().mount(os.fsencode(source), os.fsencode(target), None, 4096, None), target)


def unmount(path: Path) -> None:
    """Unmount what is mounted at `path`, even if it is in use (it goes once nobody uses it)."""
    _check(_libc().umount2(os.fsencode(path), MNT_DETACH | UMOUNT_NOFOLLOW), path)


def is_mounted(path: Path) -> bool:
    """Whether a file system of its own begins at `path`."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def mounts_below(path: Path) -> list[Path]:
    """The mount points at and below `path`, the deepest first."""
    prefix = str(path)
    found: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def unmount_below(path: Path) -> None:
    """Unmount everything at and below `path`."""
    for point in mounts_below(path):
        unmount(point)
