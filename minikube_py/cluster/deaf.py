"""Containers that cannot hear: the first process of a pid namespace gets only the signals that it handles.

A shell's `sleep`, busybox httpd and many others handle no SIGTERM, so waiting for them to end by it is in vain
(pid_namespaces(7)). Only for what is stopped with the cluster; a pod that is deleted gets its grace period.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from minikube_py.cluster.leftovers import CGROUPS


def deaf(cgroup: str, root: Path = CGROUPS, proc: Path = Path("/proc")) -> set[str]:
    """The ids of the containers below `cgroup` (such as /minikube-py) whose first process is the first of its
    pid namespace and handles no SIGTERM. Blocking, short."""
    first: dict[str, bool] = {}
    for top in {root / cgroup.strip("/"), root / "pids" / cgroup.strip("/")}:
        for folder, _, files in os.walk(top):
            if "cgroup.procs" not in files:
                continue
            for pid in _pids(Path(folder)):
                if (handled := _handles_term(proc / str(pid) / "status")) is not None:
                    first[Path(folder).name] = handled
    return {id for id, handled in first.items() if not handled}


def _pids(folder: Path) -> Iterator[int]:
    try:
        yield from map(int, (folder / "cgroup.procs").read_text().split())
    except OSError:
        return


def _handles_term(status: Path) -> bool | None:
    """Whether a process handles SIGTERM; None if it is not the first of a pid namespace below ours."""
    try:
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    except OSError:
        return None
    numbers = fields.get("NSpid", "").split()
    if len(numbers) < 2 or numbers[-1] != "1":
        return None
    return bool(int(fields.get("SigCgt", "0"), 16) & 1 << (signal.SIGTERM - 1))
