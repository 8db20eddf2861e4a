"""The eviction signals as they stand: memory, disks, inodes and process ids of this machine, from /proc and the
cgroup of all pods.

Memory that is available is what is free, and what of the page cache is inactive, as the kubelet counts it.
"""

import os
from pathlib import Path

from minikube_py.kubelet.cm.cgroups import find
from minikube_py.kubelet.eviction.thresholds import (
    IMAGEFS,
    IMAGEFS_INODES,
    MEMORY,
    NODEFS,
    NODEFS_INODES,
    PIDS,
    PODS_MEMORY,
    Observations,
    Observed,
)
from minikube_py.kubelet.node.machine import memory_fields, process_counts
from minikube_py.kubelet.stats.usage import Use, read_use


def read_signals(root: Path, images: Path, pods: str = "") -> Observations:
    """What the machine has and has left; `root` lies on the disk of pods' volumes and logs, `images` on that of
    the runtime, `pods` is the cgroup of all pods (empty: there is none). Blocks for some 100 microseconds.
    Errors: OSError where a folder is gone."""
    info = memory_fields()
    found = {}
    if info.get("MemTotal"):
        found[MEMORY] = Observed(info["MemTotal"], info.get("MemFree", 0) + info.get("Inactive(file)", 0))
    if pods:
        found |= pods_memory(read_use(find(Path("/proc/mounts").read_text()), pods))
    for folder, size, inodes in ((root, NODEFS, NODEFS_INODES), (images, IMAGEFS, IMAGEFS_INODES)):
        disk = os.statvfs(folder)
        found[size] = Observed(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)
        if disk.f_files:  # some file systems have no fixed number
            found[inodes] = Observed(disk.f_files, disk.f_favail)
    most, used = process_counts()
    if most:
        found[PIDS] = Observed(most, max(0, most - used))
    return found


def pods_memory(use: Use | None) -> Observations:
    """What all pods together have left of the memory that their cgroup is limited to. Pure."""
    if use is None or not use.memory_limit:
        return {}
    return {PODS_MEMORY: Observed(use.memory_limit, max(0, use.memory_limit - use.working_set))}
