"""fsGroup: what a volume holds belongs to the pod's group, as far as the kind of volume allows.

Every file becomes readable (and writable, unless the volume is read-only) for the group, every folder passable
and setgid, so that new files belong to the group too. With fsGroupChangePolicy OnRootMismatch a volume whose
root is as it should be is not walked through.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from minikube_py.kubelet.volumes.trees import change, walk
from minikube_py.meta.objects import Obj

WRITABLE, READ_ONLY, PASSABLE = 0o660, 0o440, 0o110


def group_of(pod: Obj) -> int | None:
    """The group that owns the pod's volumes, if the pod names one."""
    return (pod["spec"].get("securityContext") or {}).get("fsGroup")


def change_policy(pod: Obj) -> str:
    """The pod's fsGroupChangePolicy."""
    return (pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy") or "Always"


def user_of(pod: Obj) -> int | None:
    """The user that all containers of the pod run as by their security contexts; None where they differ, or one
    does not say."""
    spec = pod["spec"]
    whole = (spec.get("securityContext") or {}).get("runAsUser")
    containers: Iterable[Obj] = [*(spec.get("initContainers") or ()), *spec["containers"]]
    users = {(c.get("securityContext") or {}).get("runAsUser", whole) for c in containers}
    return users.pop() if len(users) == 1 else None


def mode_for_group(mode: int, *, folder: bool, read_only: bool) -> int:
    """The permission bits of a file or folder whose bits were `mode`, once it belongs to the group."""
    mask = READ_ONLY if read_only else WRITABLE
    if folder:
        mask |= stat.S_ISGID | PASSABLE
    return stat.S_IMODE(mode) | mask


def belongs(found: os.stat_result, group: int, *, read_only: bool) -> bool:
    """Whether a volume's root is as `give` leaves it."""
    wanted = mode_for_group(0, folder=True, read_only=read_only)
    return found.st_gid == group and found.st_mode & wanted == wanted


def give(root: Path, group: int, *, read_only: bool = False, policy: str = "Always") -> None:
    """Give the volume at `root` to `group`. Blocking, as long as the volume is big. Errors: OSError."""
    if policy == "OnRootMismatch" and belongs(root.stat(), group, read_only=read_only):
        return
    entries = walk(root)
    first = next(entries)
    for entry in entries:
        folder = stat.S_ISDIR(entry.stat.st_mode)
        change(entry, group=group, mode=mode_for_group(entry.stat.st_mode, folder=folder, read_only=read_only))
    # the root last: OnRootMismatch takes it as the sign that all else is done
    os.chown(root, -1, group)
    root.chmod(mode_for_group(first.stat.st_mode, folder=True, read_only=read_only))
