"""Pod cgroups on cgroup v1 and v2: made with the pod's limits before its sandbox, removed after it.

Only below the configured root (such as /minikube-py/<profile>/kubepods). Where the kernel or our rights do
not allow a limit, the pod runs without it and a warning is logged. All calls block for about a millisecond.
"""

import contextlib
import errno
import logging
import os
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from minikube_py.kubelet.cm import unified
from minikube_py.kubelet.cm.qos import (
    MIN_SHARES,
    HostLimits,
    cgroup_path,
    cpu_requested,
    cpu_shares,
    page_size,
    pod_resources,
    qos_class,
)
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import int_value, parse_quantity
from minikube_py.runtime.base import Resources

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where cgroups are mounted. `controllers` (v1): controller > directory; `unified`: v2's directory."""

    controllers: dict[str, Path]
    unified: Path | None = None

    @property
    def v2(self) -> bool:
        """Whether limits are set in the unified hierarchy."""
        return "memory" not in self.controllers and self.unified is not None

    def roots(self) -> list[Path]:
        """Every hierarchy's directory, each once."""
        unified = [self.unified] if self.unified else []
        return list(dict.fromkeys([*self.controllers.values(), *unified]))


def find(mounts: str) -> Hierarchies:
    """The hierarchies in the text of /proc/mounts."""
    controllers: dict[str, Path] = {}
    unified: Path | None = None
    for line in mounts.splitlines():
        words = line.split(" ")
        if words[2] == "cgroup":
            for option in words[3].split(","):
                if option not in ("rw", "ro", "relatime", "nosuid", "nodev", "noexec"):
                    controllers[option] = Path(words[1])
        elif words[2] == "cgroup2" and unified is None:
            unified = Path(words[1])
    return Hierarchies(controllers, unified)


def host_limits(at: Hierarchies, hugepages: Mapping[str, str]) -> HostLimits:
    """What this machine's cgroups can limit; `hugepages` are its resources of that kind (hugepages-2Mi)."""
    if at.v2 and at.unified is not None:
        swap = any(at.unified.glob("*/memory.swap.max"))  # the topmost cgroup has none
    else:
        memory = at.controllers.get("memory")
        swap = memory is not None and (memory / "memory.memsw.limit_in_bytes").exists()
    return HostLimits(at.v2, swap, tuple(page_size(resource) for resource in hugepages))


def _has_hugetlb(at: Hierarchies) -> bool:
    """Whether huge pages can be limited."""
    if at.v2 and at.unified is not None:
        return "hugetlb" in unified.words(at.unified / "cgroup.controllers")
    return "hugetlb" in at.controllers


class PodCgroups:
    """The cgroups of pods below `root`; an empty root means none are made. `pids`: how many processes each pod
    may have (0: any number); `page_sizes`: the huge pages that pods get none of unless they ask for them."""

    def __init__(
        self, root: str, hierarchies: Hierarchies, pids: int = 0, page_sizes: Collection[str] = ()
    ) -> None:
        self._root, self._at, self._pids = root, hierarchies, pids
        self._none = dict.fromkeys(page_sizes if _has_hugetlb(hierarchies) else (), 0)
        self._asked: dict[str, float] = {}  # uid of a burstable pod > the CPU that it asks for

    def make_tiers(self, enforced: Mapping[str, str]) -> None:
        """Make the root, limited to what is `enforced`, and the burstable and besteffort tiers."""
        if not self._root:
            return
        cores, memory = parse_quantity(enforced.get("cpu", "0")), int_value(enforced.get("memory", "0"))
        self._limit(self._root, Resources(cpu_shares=cpu_shares(float(cores)), memory=memory))
        for tier in ("burstable", "besteffort"):
            self._limit(f"{self._root}/{tier}", Resources(cpu_shares=MIN_SHARES))

    def make(self, pod: Obj) -> None:
        """Make the pod's cgroup with its limits, or find it made."""
        if not self._root:
            return
        limits = pod_resources(pod, self._pids)
        limits = replace(limits, hugepages={**self._none, **limits.hugepages})
        self._limit(cgroup_path(self._root, pod), limits)
        if qos_class(pod) == "Burstable":
            self._asked[pod["metadata"]["uid"]] = cpu_requested(pod)
            self._share()

    def _share(self) -> None:
        """Give the burstable tier the CPU that its pods ask for together."""
        shares = cpu_shares(sum(self._asked.values()))
        self._limit(f"{self._root}/burstable", Resources(cpu_shares=shares))

    def remove(self, uid: str) -> bool:
        """Remove the cgroups of a pod in every hierarchy and tier, with what runtimes left in them; whether
        all are gone. One stays for some milliseconds after its last process."""
        if not self._root:
            return True
        if self._asked.pop(uid, None) is not None:
            self._share()
        left = [folder for tier in self._tiers() if (folder := tier / f"pod{uid}").is_dir()]
        for folder in left:
            _remove_tree(folder)
        return not any(folder.is_dir() for folder in left)

    def end(self, uid: str) -> int:
        """Kill what still runs in the cgroups of a pod whose containers are gone (a container that was being
        made when its shim was killed); how many processes."""
        if not self._root:
            return 0
        folders = [tier / f"pod{uid}" for tier in self._tiers()]
        pids = {pid for folder in folders for file in folder.glob("**/cgroup.procs") for pid in _pids(file)}
        for folder in folders:
            unified.kill(folder)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def uids(self) -> set[str]:
        """The uids of all pods that have a cgroup in some hierarchy."""
        if not self._root:
            return set()
        return {folder.name.removeprefix("pod") for tier in self._tiers() for folder in tier.glob("pod*")}

    def _tiers(self) -> list[Path]:
        tops = [root / self._root.strip("/") for root in self._at.roots()]
        return [top / tier for top in tops for tier in ("", "burstable", "besteffort")]

    def _limit(self, path: str, limits: Resources) -> None:
        try:
            if self._at.v2 and self._at.unified is not None:
                unified.limit(unified.make(self._at.unified, path), limits)
            else:
                self._limit_v1(path, limits)
        except OSError as error:
            log.warning("cgroup %s: %s", path, error)

    def _limit_v1(self, path: str, limits: Resources) -> None:
        files = {
            "cpu": {"cpu.shares": limits.cpu_shares}
            | ({"cpu.cfs_quota_us": limits.cpu_quota} if limits.cpu_quota else {}),
            "memory": {"memory.limit_in_bytes": limits.memory} if limits.memory else {},
            "pids": {"pids.max": limits.pids} if limits.pids else {},
            "hugetlb": {
                f"hugetlb.{size}.{kind}limit_in_bytes": most
                for size, most in limits.hugepages.items()
                for kind in unified.HUGEPAGES
            },
        }
        for controller, values in files.items():
            if mounted := self._at.controllers.get(controller):
                directory = mounted / path.strip("/")
                directory.mkdir(parents=True, exist_ok=True)
                for name, value in values.items():
                    unified.write(directory / name, str(value))


def _pids(file: Path) -> list[int]:
    try:
        return [int(word) for word in file.read_text().split()]
    except OSError:
        return []


def _remove_tree(directory: Path) -> None:
    """rmdir from the leaves up; what has processes in it stays."""
    if not directory.is_dir():
        return
    for path, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
                raise
