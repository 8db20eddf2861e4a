"""mount(2) and umount(2) without a subprocess: tmpfs, hugetlbfs and binds for volumes, and taking them down.

All calls block for microseconds, unless a file system behind them hangs. They need CAP_SYS_ADMIN; errors are
OSError. Nothing here follows a symlink at the end of a path that is unmounted.
"""

import ctypes
import errno
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 32, 4096, 16384
MS_SHARED = 1 << 20
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
MOUNTINFO = Path("/proc/self/mountinfo")
FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": 8,
    "sync": 16,
    "dirsync": 128,
    "noatime": 1024,
    "nodiratime": 2048,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
}
NO_FLAGS = ("rw", "defaults", "async", "suid", "dev", "exec", "atime", "diratime", "bind")
"""Options that say what holds anyway."""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def mount(source: str, path: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2): a file system of `kind` from `source` at `path`."""
    arguments = (source.encode(), os.fsencode(path), kind.encode() or None)
    _check(_libc().mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), path)


def mount_tmpfs(path: Path, size: int = 0) -> None:
    """Mount an empty tmpfs of at most `size` bytes (0: the kernel's default) at `path`; every user may write to
    it, and remove what is theirs (tmpfs(5): mode 1777). What lies in it is never swapped out, where the kernel
    (6.4) knows of that: secrets stay off disks."""
    options = f"size={size}" if size else ""
    try:
        mount("tmpfs", path, "tmpfs", options=",".join(filter(None, ("noswap", options))))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("tmpfs", path, "tmpfs", options=options)


def bind(source: Path | str, target: Path) -> None:
    """Bind-mount `source` at `target`."""
    mount(os.fspath(source), target, "", MS_BIND)


def bind_with(source: Path, target: Path, options: Iterable[str]) -> None:
    """Bind `source` at `target` with mount options of mount(8) that every file system knows (others belong to
    the file system, which is mounted already, and are passed over)."""
    bind(source, target)
    if flags := mount_flags(options)[0]:
        mount("none", target, "", MS_REMOUNT | MS_BIND | flags)


def mount_flags(options: Iterable[str]) -> tuple[int, str]:
    """The flags of mount options, and the options that are the file system's own, joined by commas."""
    words = [word for option in options for word in option.split(",") if word]
    flags = 0
    for word in words:
        flags |= FLAGS.get(word, 0)
    return flags, ",".join(word for word in words if word not in FLAGS and word not in NO_FLAGS)


def share(path: Path) -> None:
    """Make `path` a mount of its own whose mounts propagate to containers that ask for it, and back, unless the
    mount that it lies on does so already (mount_namespaces(7))."""
    if not _is_shared(path):
        if not is_mounted(path):
            mount(str(path), path, "", MS_BIND | MS_REC)
        mount("none", path, "", MS_SHARED | MS_REC)


def _is_shared(path: Path) -> bool:
    whole = str(path.resolve())
    best, shared = "", False
    for line in MOUNTINFO.read_text().splitlines():
        words = line.split(" ")
        point = _unescaped(words[4])
        inside = whole == point or whole.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, shared = point, any(word.startswith("shared:") for word in words[6 : words.index("-")])
    return shared


def unshare(path: Path) -> None:
    """Undo `share` where nothing is mounted below `path`."""
    if mounts_below(path) == [path]:
        unmount(path)


def unmount(path: Path) -> None:
    """Unmount what is mounted at `path`, even if it is in use (it goes once nobody uses it)."""
    _check(_libc().umount2(os.fsencode(path), MNT_DETACH | UMOUNT_NOFOLLOW), path)


def is_mounted(path: Path) -> bool:
    """Whether a mount begins at `path`, be it of the same file system; a symlink never is one."""
    try:
        return _mount_of(path) != _mount_of(path.parent)
    except FileNotFoundError:
        return False


def _mount_of(path: Path) -> str:
    """The id of the mount that `path` lies on (proc(5), fdinfo)."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
        return next(line for line in lines if line.startswith("mnt_id:"))
    finally:
        os.close(descriptor)


def mounts_below(path: Path) -> list[Path]:
    """The mount points at and below `path`, one for each mount, the deepest first. Looks at no mount itself:
    one that hangs does no harm."""
    prefix = str(path)
    found: list[Path] = []
    for line in MOUNTINFO.read_text().splitlines():
        point = _unescaped(line.split(" ")[4])
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def _unescaped(text: str) -> str:
    return os.fsdecode(text.encode().decode("unicode_escape").encode("latin-1")) if "\\" in text else text


def unmount_below(path: Path) -> None:
    """Unmount everything at and below `path`, whatever lies over one another."""
    for point in mounts_below(path):
        try:
            unmount(point)
        except OSError as error:
            if error.errno != 22:  # EINVAL: no mount any more; propagation has taken it along
                raise
