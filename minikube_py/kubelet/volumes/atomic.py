"""Writing a volume's files so that readers see the old content or the new, never a mix.

Files lie in a directory named by the time; `..data` is a symlink to it that is replaced by rename, and each
visible name is a symlink through `..data`. Unchanged content is not written again.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from minikube_py.kubelet.volumes.base import File, VolumeFailed

DATA = "..data"


def check_path(path: str) -> str:
    """`path` if it may name a file in a volume: relative and without `..`. Errors: VolumeFailed."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise VolumeFailed(f"invalid path {path!r}: must be relative, without '..'")
    return path


def write_files(directory: Path, files: Mapping[str, File], now: datetime, group: int | None = None) -> bool:
    """Make `files` (path > content) the content of `directory`; whether anything changed. Blocking."""
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / DATA
    old = Path(os.readlink(link)) if link.is_symlink() else None
    if old is not None and _same(directory / old, files):
        return False
    target = directory / f"..{now:%Y_%m_%d_%H_%M_%S}.{secrets.token_hex(4)}"
    target.mkdir(mode=0o755)
    for path, file in files.items():
        place = target / check_path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(file.mode)
        if group is not None:
            os.chown(place, -1, group)
    fresh = directory / f"{DATA}_tmp"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name)
    fresh.rename(link)
    _show(directory, files)
    if old is not None:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _same(directory: Path, files: Mapping[str, File]) -> bool:
    present = {str(p.relative_to(directory)): p for p in directory.rglob("*") if p.is_file()}
    return present.keys() == files.keys() and all(
        path.stat().st_mode & 0o7777 == files[name].mode and path.read_bytes() == files[name].data
        for name, path in present.items()
    )


def _show(directory: Path, files: Mapping[str, File]) -> None:
    visible = {path.split("/")[0] for path in files}
    for name in visible:
        entry = directory / name
        if not entry.is_symlink():
            entry.symlink_to(f"{DATA}/{name}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.is_symlink() and entry.name not in visible:
            entry.unlink()
