"""subPath: a file or directory inside a volume, never outside, whatever symlinks a container has made there.

The path is resolved by the kernel within the volume (openat2 with RESOLVE_IN_ROOT) and bound by its file
descriptor to a place of our own, which is what the container mounts: no race can lead out. Folders that are
missing are made, with the mode of the volume's root. Linux 5.6+.
"""

import errno
import os
import stat
from pathlib import Path

from minikube_py.kubelet.volumes.mounts import bind, unmount_below
from minikube_py.kubelet.volumes.trees import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, open_at


class SubpathRefused(Exception):
    """The path cannot be mounted. What exactly is wrong is not told: it could tell of the host's files."""


def open_in(root: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of `path` resolved with the directory `root` as its root. Errors: OSError."""
    return open_at(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def check_subpath(path: str) -> list[str]:
    """The parts of a subPath. Errors: SubpathRefused."""
    if path.startswith("/"):
        raise SubpathRefused(f"error SubPath `{path}` must not be an absolute path")
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise SubpathRefused(f"unable to provision SubPath `{path}`: must not contain '..'")
    return parts


def bind_subpath(volume: Path, subpath: str, place: Path, mount: tuple[str, str]) -> Path:
    """Bind `subpath` of `volume` at `place` (made as a file or directory); the path to mount. `mount` are the
    names of the volume and the container, for the refusal. Blocking. Errors: SubpathRefused."""
    parts = check_subpath(subpath)
    what = f'for volumeMount "{mount[0]}" of container "{mount[1]}"'
    try:
        root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SubpathRefused(f"failed to prepare subPath {what}") from error
    try:
        target = _open_or_make(root, parts, what)
    finally:
        os.close(root)
    try:
        _bind(target, place)
    except OSError as error:
        raise SubpathRefused(f"failed to prepare subPath {what}") from error
    finally:
        os.close(target)
    return place


def _open_or_make(root: int, parts: list[str], what: str) -> int:
    """A descriptor of the path of `parts` below `root`. Errors: SubpathRefused."""
    path = "/".join(parts) or "."
    try:
        return open_in(root, path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SubpathRefused(f"failed to prepare subPath {what}") from error
    try:
        _make_missing(root, parts)
        return open_in(root, path)
    except FileExistsError as error:  # what is there is a symlink that leads nowhere inside
        raise SubpathRefused(f"failed to prepare subPath {what}") from error
    except OSError as error:
        raise SubpathRefused(f"failed to create subPath directory {what}") from error


def _make_missing(root: int, parts: list[str]) -> None:
    """Make the directories of `parts` that are missing below `root`, each opened before the next."""
    mode = stat.S_IMODE(os.fstat(root).st_mode)
    current = os.dup(root)
    try:
        for count, part in enumerate(parts, 1):
            deeper = _step(root, current, ("/".join(parts[:count]), part), mode)
            os.close(current)
            current = deeper
    finally:
        os.close(current)


def _step(root: int, current: int, names: tuple[str, str], mode: int) -> int:
    """A descriptor of the next directory: its path below `root` and name below `current`."""
    path, name = names
    try:
        return open_in(root, path)
    except FileNotFoundError:
        os.mkdir(name, dir_fd=current)
    made = open_in(root, path, os.O_RDONLY | os.O_DIRECTORY)
    group = os.fstat(root).st_gid
    if os.fstat(made).st_uid == os.geteuid():
        os.fchown(made, -1, group)
        os.fchmod(made, mode)
    return made


def _bind(target: int, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    wanted = os.fstat(target)
    if stat.S_ISLNK(wanted.st_mode):
        raise OSError(errno.ELOOP, "a symlink cannot be mounted")
    if place.exists():
        there = place.stat()
        if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
            return  # bound by an earlier start of the container
    unmount_below(place)
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    if stat.S_ISDIR(wanted.st_mode):
        place.mkdir()
    else:
        place.touch()
    bind(f"/proc/self/fd/{target}", place)
