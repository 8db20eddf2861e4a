"""Trees of files that containers made: walked, measured and removed without following a symlink anywhere.

A path is resolved by the kernel below an open folder (openat2), without symlinks and, where files are removed,
never into another mount: a race with a container leads nowhere, and nothing is deleted through a mount. All of
it blocks as long as the tree is big. Linux 5.6+.
"""

import ctypes
import errno
import os
import secrets
import stat
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SYS_OPENAT2 = 437  # the same number on every architecture
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10
SAFE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
MAX_DEPTH = 64
"""Folders that are deeper are moved up before they are removed, so that no path becomes too long."""


ATTEMPTS = 1000
"""How often a path is resolved again because something on the machine was renamed or mounted meanwhile, which
keeps the kernel from telling where ".." leads."""


class Entry(NamedTuple):
    """A file or folder of a tree: its name in the open folder, which is open while the entry is looked at."""

    folder: int
    name: str
    stat: os.stat_result


@cache
def _syscall() -> "ctypes._NamedFuncPointer":
    return ctypes.CDLL(None, use_errno=True).syscall


def open_at(root: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2): a descriptor of `path` below the folder `root`, resolved by the rules `resolve`.
    Errors: OSError."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    number = errno.EAGAIN
    for _ in range(ATTEMPTS):
        result = int(_syscall()(SYS_OPENAT2, root, os.fsencode(path), how, len(how)))
        if result >= 0:
            return result
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), path)


def walk(root: Path) -> Iterator[Entry]:
    """Everything below `root`, and `root` itself (name "."), folders before what is in them. What vanishes
    meanwhile is passed over. Errors: OSError."""
    top = os.open(root, DIRECTORY | os.O_CLOEXEC)
    try:
        yield Entry(top, ".", os.fstat(top))
        waiting = ["."]
        while waiting:
            yield from _level(top, waiting)
    finally:
        os.close(top)


def _level(top: int, waiting: list[str]) -> Iterator[Entry]:
    """The entries of the last folder of `waiting`, whose own folders are added."""
    path = waiting.pop()
    try:
        folder = open_at(top, path, DIRECTORY, SAFE)
    except FileNotFoundError:
        return
    try:
        for name in os.listdir(folder):
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Entry(folder, name, found)
            if stat.S_ISDIR(found.st_mode):
                waiting.append(f"{path}/{name}")
    finally:
        os.close(folder)


def change(entry: Entry, *, group: int, mode: int) -> None:
    """Give an entry to `group` and, unless it is a symlink, the permission bits `mode`; whatever a container
    puts in its place meanwhile is left alone. Errors: OSError."""
    descriptor = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=entry.folder)
    try:
        if os.fstat(descriptor).st_ino != entry.stat.st_ino:
            return
        if stat.S_ISLNK(entry.stat.st_mode):
            os.chown(entry.name, -1, group, dir_fd=entry.folder, follow_symlinks=False)
            return
        own = f"/proc/self/fd/{descriptor}"
        os.chown(own, -1, group)
        os.chmod(own, mode)
    finally:
        os.close(descriptor)


def remove_tree(root: Path) -> None:
    """Remove `root` and all below it. Errors: OSError; EXDEV where something is mounted in it, which then keeps
    what it holds."""
    try:
        top = os.open(root, DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while names := os.listdir(top):
            for name in names:
                _remove(top, name, (top, 0))
    finally:
        os.close(top)
    os.rmdir(root)


def _remove(folder: int, name: str, place: tuple[int, int]) -> None:
    """Remove one entry of `folder`; `place` is the tree's top and how deep below it `folder` is."""
    top, depth = place
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if depth >= MAX_DEPTH:
        os.rename(name, f".deep-{secrets.token_hex(8)}", src_dir_fd=folder, dst_dir_fd=top)
        return
    inner = open_at(folder, name, DIRECTORY, SAFE | RESOLVE_NO_XDEV)
    try:
        for deeper in os.listdir(inner):
            _remove(inner, deeper, (top, depth + 1))
    finally:
        os.close(inner)
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise OSError(errno.EXDEV, "something is mounted here", name) from error
