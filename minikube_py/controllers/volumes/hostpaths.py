"""What becomes of the folder of a released hostPath volume: removed, or emptied for the next claim.

As in Kubernetes, only what lies below /tmp is removed, and it is the machine of the controllers whose folder
it is. Both functions block, and belong into a thread. Limits: the root of the file system is never emptied;
a folder is emptied here, where Kubernetes starts a pod for it.
"""

import re
import shutil
from pathlib import Path

_REMOVED = re.compile("^/tmp/.+")


def undeletable(path: str) -> str:
    """Why the folder of a volume is not removed; empty where it may be."""
    if _REMOVED.search(path) and ".." not in Path(path).parts:
        return ""
    return f"host_path deleter only supports /tmp/.+ but received provided {path}"


def remove(path: str) -> None:
    """Remove a folder, or what else is there; nothing may be. Errors: OSError."""
    _remove(Path(path))


def scrub(path: str) -> None:
    """Empty a folder, which is made where it is missing. Errors: OSError."""
    folder = Path(path)
    if folder.resolve() == Path("/"):
        raise OSError("the root of the file system is not emptied")
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        _remove(entry)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
