"""Writing a volume's files so that readers see the old content or the new, never a mix.

Files lie in a directory named by the time; `..data` is a symlink to it that is replaced by rename, and each
visible name is a symlink through `..data`. Unchanged content is not written again. What an update that broke
off has left is removed by the next.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from minikube_py.kubelet.volumes.base import File, VolumeFailed
from minikube_py.kubelet.volumes.ownership import belongs, mode_for_group
from minikube_py.kubelet.volumes.trees import remove_tree

DATA = "..data"
FOLDER = 0o755


def check_path(path: str) -> str:
    """`path` if it may name a file in a volume: relative and without `..`. Errors: VolumeFailed."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise VolumeFailed(f"invalid path {path!r}: must be relative, without '..'")
    return path


def write_files(directory: Path, files: Mapping[str, File], now: datetime, group: int | None = None) -> bool:
    """Make `files` (path > content) the content of `directory`, which belongs to `group`; whether anything
    changed. Blocking. Errors: VolumeFailed, OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    if group is not None and not belongs(found := directory.stat(), group, read_only=True):
        _give(directory, stat.S_IMODE(found.st_mode) | 0o777, group)
    wanted = {check_path(path): _owned(file, group) for path, file in files.items()}
    link = directory / DATA
    old = os.readlink(link) if link.is_symlink() else None
    if old is not None and _same(directory / old, wanted):
        return False
    target = directory / f"..{now:%Y_%m_%d_%H_%M_%S}.{secrets.token_hex(4)}"
    try:
        _fill(target, wanted, group)
    except OSError:
        remove_tree(target)
        raise
    fresh = directory / f"{DATA}_tmp"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name)
    fresh.rename(link)
    _show(directory, wanted)
    return True


def _owned(file: File, group: int | None) -> File:
    mode = file.mode if group is None else mode_for_group(file.mode, folder=False, read_only=True)
    return File(file.data, mode, file.user)


def _give(folder: Path, mode: int, group: int | None) -> None:
    if group is not None:
        os.chown(folder, -1, group)
        mode = mode_for_group(mode, folder=True, read_only=True)
    folder.chmod(mode)


def _fill(target: Path, files: Mapping[str, File], group: int | None) -> None:
    """Write the files into the new folder `target`."""
    target.mkdir()
    _give(target, FOLDER, group)
    for path, file in files.items():
        above = Path(path).parents if "/" in path else ()
        for folder in [target / name for name in above if not (target / name).exists()][::-1]:
            folder.mkdir()
            _give(folder, FOLDER, group)
        place = os.open(f"{target}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(place, file.data)
            if group is not None or file.user is not None:
                os.fchown(place, -1 if file.user is None else file.user, -1 if group is None else group)
            os.fchmod(place, file.mode)
        finally:
            os.close(place)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _same(directory: Path, files: Mapping[str, File]) -> bool:
    """Whether `files` are what lies in `directory`."""
    present = {str(p.relative_to(directory)): p for p in directory.rglob("*") if p.is_file()}
    return present.keys() == files.keys() and all(_is(path, files[name]) for name, path in present.items())


def _is(path: Path, file: File) -> bool:
    found = path.stat()
    return (
        stat.S_IMODE(found.st_mode) == file.mode
        and file.user in (None, found.st_uid)
        and path.read_bytes() == file.data
    )


def _show(directory: Path, files: Mapping[str, File]) -> None:
    """Let the names at the top of `files`, and no others, be seen; what earlier updates have left goes."""
    visible = {path.split("/")[0] for path in files}
    with os.scandir(directory) as entries:
        present = {entry.name: entry.is_symlink() for entry in entries}
    for name in visible:
        if not present.get(name):
            os.symlink(f"{DATA}/{name}", f"{directory}/{name}")
    current = os.readlink(directory / DATA)
    for name, is_link in present.items():
        if name.startswith(".."):
            if name not in (DATA, current) and not is_link:
                remove_tree(directory / name)
        elif is_link and name not in visible:
            os.unlink(f"{directory}/{name}")
