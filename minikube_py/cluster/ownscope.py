"""The cgroup of the cluster's own processes (this one, containerd, shims): out of the login session or service
that started the cluster.

systemd kills what is left in the cgroup of a session (KillUserProcesses), of a user's manager at the logout,
and of a service that has ended, whoever owns the processes; `kubectl` would find no cluster after the terminal
was closed. So the process moves to a leaf beside its pods' before it starts anything, in the hierarchy that
systemd goes by, and back to the root before that leaf is removed. What is in no such cgroup stays where it is.

At the root of a cgroup namespace (the machine is a container) every process is in the root, which on cgroup v2
could then hand no controllers down (cgroups(7), no internal processes): all of them move to a leaf of it.

Limits: what the kernel refuses is logged, and the cluster runs where it is. Blocking, a millisecond.
"""

import logging
import os
from pathlib import Path

from minikube_py.cluster.leftovers import CGROUPS

log = logging.getLogger(__name__)

LEAF = "system"
INIT = "init"
"""The leaf for all processes of a container, as images that run containers in a container call it."""
KUBELET_SCORE = "-999"
ROUNDS = 10  # of moving what was forked meanwhile


def hierarchy(memberships: str, root: Path = CGROUPS) -> tuple[Path, str] | None:
    """The hierarchy that systemd goes by, and a process's cgroup in it, by the text of its /proc/<pid>/cgroup;
    None where there is none."""
    found = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in memberships.splitlines() if line}
    if (root / "cgroup.controllers").exists():
        return (root, found[""]) if "" in found else None
    for name, folder in (("name=systemd", "systemd"), ("", "unified")):
        if name in found and (root / folder / "cgroup.procs").exists():
            return root / folder, found[name]
    return None


def settle(cgroup: str, root: Path = CGROUPS, proc: Path = Path("/proc/self")) -> None:
    """Move this process to the leaf of `cgroup` (such as /minikube-py), unless it is in nobody's; and, as far
    as permitted, let the kernel spare it and its children when memory runs out, as it spares a kubelet."""
    _write(proc / "oom_score_adj", KUBELET_SCORE, refused=logging.DEBUG)
    found = hierarchy((proc / "cgroup").read_text(), root)
    if found is None:
        return
    top, own = found
    if own == "/":
        if (top / "cgroup.type").exists() and (top / "cgroup.controllers").exists():
            _move_all(top, top / INIT)
        return
    _move(top / cgroup.strip("/") / LEAF, str(os.getpid()))


def leave(cgroup: str, root: Path = CGROUPS, proc: Path = Path("/proc/self")) -> None:
    """Move this process out of `cgroup`, which is about to be removed; fine where it is not in it."""
    found = hierarchy((proc / "cgroup").read_text(), root)
    if found is None or not f"{found[1]}/".startswith(f"{cgroup}/"):
        return
    init = found[0] / INIT
    _move(init if init.is_dir() else found[0], str(os.getpid()))


def _move_all(source: Path, leaf: Path) -> None:
    for _ in range(ROUNDS):
        pids = (source / "cgroup.procs").read_text().split()
        if not [pid for pid in pids if _move(leaf, pid)]:
            return


def _move(leaf: Path, pid: str) -> bool:
    try:
        leaf.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("cannot make the cgroup %s: %s", leaf, error.strerror)
        return False
    return _write(leaf / "cgroup.procs", pid)


def _write(file: Path, text: str, refused: int = logging.WARNING) -> bool:
    try:
        file.write_text(text)
    except OSError as error:
        log.log(refused, "cannot write %s to %s: %s", text, file, error.strerror)
        return False
    return True
