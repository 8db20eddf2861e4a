"""How much a volume holds: of a file system of its own as the kernel tells, else the sum of its files."""

import os
from dataclasses import dataclass
from pathlib import Path

from minikube_py.kubelet.volumes.mounts import is_mounted
from minikube_py.kubelet.volumes.trees import walk

BLOCK = 512
"""Bytes of one of st_blocks (stat(2))."""


@dataclass(frozen=True, slots=True)
class VolumeUsage:
    """Bytes and inodes, as the kubelet's summary names them: what the volume uses, and what its file system has
    in all and left."""

    used: int
    inodes_used: int
    capacity: int
    available: int
    inodes: int
    inodes_free: int


def volume_usage(path: Path) -> VolumeUsage:
    """The usage of the volume at `path`. Blocking, as long as its files are many where it has no file system of
    its own. Errors: OSError."""
    whole = os.statvfs(path)
    capacity, available = whole.f_blocks * whole.f_frsize, whole.f_bavail * whole.f_frsize
    if is_mounted(path):
        used = (whole.f_blocks - whole.f_bfree) * whole.f_frsize
        inodes = whole.f_files - whole.f_ffree
    else:
        used, inodes = _sum(path)
    return VolumeUsage(used, inodes, capacity, available, whole.f_files, whole.f_ffree)


def _sum(path: Path) -> tuple[int, int]:
    """The bytes on disk and the inodes of a tree, hard links counted once."""
    used, seen = 0, set()
    for entry in walk(path):
        identity = (entry.stat.st_dev, entry.stat.st_ino)
        if identity not in seen:
            seen.add(identity)
            used += entry.stat.st_blocks * BLOCK
    return used, len(seen)
