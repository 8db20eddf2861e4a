"""Everything that one cgroup (v1 or v2) tells, as /metrics/cadvisor shows it. Blocking.

A file that a kernel does not have counts as zeros. Reading a cgroup takes some 100 microseconds of a thread.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.stats.disks import Disk, v1_disks, v2_disks
from minikube_py.kubelet.stats.files import text
from minikube_py.kubelet.stats.pressure import read_pressures
from minikube_py.kubelet.stats.usage import NO_LIMIT, V2, Use, v1_use, v2_use

TICKS = os.sysconf("SC_CLK_TCK")
PERIOD = 100_000
ROOT_SHARES = 1024
FEW = 100
"""Processes of one cgroup up to which the files that they hold are counted."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds in user and kernel mode; shares, quota (0: none) and period in microseconds; how many periods
    passed and were throttled, and for how many seconds."""

    user: float = 0.0
    system: float = 0.0
    shares: int = ROOT_SHARES
    quota: int = 0
    period: int = PERIOD
    periods: int = 0
    throttled: int = 0
    throttled_seconds: float = 0.0
    bursts: int = 0
    burst_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, but for the counts of faults, hits of the limit and kills. `faults`: the cgroup's own page faults
    and major ones."""

    kernel: int = 0
    mapped: int = 0
    maximum: int = 0
    failures: int = 0
    active_file: int = 0
    inactive_file: int = 0
    faults: tuple[int, int] = (0, 0)
    swap_limit: int = 0
    reservation: int = 0
    kills: int = 0


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes in the cgroup itself, the files and sockets they hold (None: not counted), the threads in
    it and below, their limits (0: none)."""

    count: int = 0
    descriptors: int | None = None
    sockets: int | None = None
    threads: int = 0
    threads_max: int = 0
    open_files: int | None = None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One cgroup; `created` in seconds since the epoch."""

    use: Use
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    processes: Processes = Processes()
    disks: Sequence[Disk] = ()
    created: float = 0.0


def read_cgroup(at: Hierarchies, path: str) -> Cgroup | None:
    """The cgroup at `path`, None where it has gone."""
    try:
        return _v2(at, path) if at.v2 else _v1(at, path)
    except (OSError, ValueError):
        return None


def _v1(at: Hierarchies, path: str) -> Cgroup | None:
    folders = {name: f"{root}/{path.strip('/')}" for name, root in at.controllers.items()}
    cpu, account, memory, pids = (folders.get(name, "") for name in ("cpu", "cpuacct", "memory", "pids"))
    first = account or memory
    if not first:
        return None
    created = os.stat(first).st_ctime
    stat, ticks, periods = (
        _pairs(f"{memory}/memory.stat"),
        _pairs(f"{account}/cpuacct.stat"),
        _pairs(f"{cpu}/cpu.stat"),
    )
    limit, swap_limit = (
        _bytes(f"{memory}/memory.limit_in_bytes"),
        _bytes(f"{memory}/memory.memsw.limit_in_bytes"),
    )
    threads = _number(f"{pids}/pids.current")
    numbers = (_number(f"{memory}/memory.usage_in_bytes"), limit, _number(f"{account}/cpuacct.usage"), threads)
    return Cgroup(
        v1_use(stat, *numbers),
        Cpu(
            ticks.get("user", 0) / TICKS,
            ticks.get("system", 0) / TICKS,
            _number(f"{cpu}/cpu.shares") or ROOT_SHARES,
            max(0, _number(f"{cpu}/cpu.cfs_quota_us")),
            _number(f"{cpu}/cpu.cfs_period_us") or PERIOD,
            periods.get("nr_periods", 0),
            periods.get("nr_throttled", 0),
            periods.get("throttled_time", 0) / 1e9,
            periods.get("nr_bursts", 0),
            periods.get("burst_time", 0) / 1e9,
        ),
        Memory(
            _number(f"{memory}/memory.kmem.usage_in_bytes"),
            stat.get("total_mapped_file", 0),
            _number(f"{memory}/memory.max_usage_in_bytes"),
            _number(f"{memory}/memory.failcnt"),
            stat.get("total_active_file", 0),
            stat.get("total_inactive_file", 0),
            (stat.get("pgfault", 0), stat.get("pgmajfault", 0)),
            max(0, swap_limit - limit),
            _bytes(f"{memory}/memory.soft_limit_in_bytes"),
            _pairs(f"{memory}/memory.oom_control").get("oom_kill", 0),
        ),
        _processes(cpu or first, threads, _number(f"{pids}/pids.max")),
        v1_disks(folders.get("blkio", "")),
        created,
    )


def _v2(at: Hierarchies, path: str) -> Cgroup | None:
    if at.unified is None:
        return None
    folder = f"{at.unified}/{path.strip('/')}".rstrip("/")
    created = os.stat(folder).st_ctime
    cpu, stat, events = (_pairs(f"{folder}/{name}") for name in ("cpu.stat", "memory.stat", "memory.events"))
    quota, _, period = text(f"{folder}/cpu.max").partition(" ")
    threads, swap_limit = _number(f"{folder}/pids.current"), _number(f"{folder}/memory.swap.max")
    used, limit, swap = (_number(f"{folder}/memory.{name}") for name in ("current", "max", "swap.current"))
    spent = cpu.get("usage_usec", 0) * 1000
    faults = (stat.get("pgfault", 0), stat.get("pgmajfault", 0))
    return Cgroup(
        v2_use(stat, V2(used, limit, swap, spent, threads, read_pressures(Path(folder)))),
        Cpu(
            cpu.get("user_usec", 0) / 1e6,
            cpu.get("system_usec", 0) / 1e6,
            _shares(_number(f"{folder}/cpu.weight")),
            int(quota) if quota.isdigit() else 0,
            int(period or PERIOD),
            cpu.get("nr_periods", 0),
            cpu.get("nr_throttled", 0),
            cpu.get("throttled_usec", 0) / 1e6,
            cpu.get("nr_bursts", 0),
            cpu.get("burst_usec", 0) / 1e6,
        ),
        Memory(
            stat.get("kernel", 0),
            stat.get("file_mapped", 0),
            _number(f"{folder}/memory.peak"),
            events.get("max", 0),
            stat.get("active_file", 0),
            stat.get("inactive_file", 0),
            faults,
            swap_limit,
            _number(f"{folder}/memory.low"),
            events.get("oom_kill", 0),
        ),
        _processes(folder, threads, _number(f"{folder}/pids.max")),
        v2_disks(text(f"{folder}/io.stat")),
        created,
    )


def _shares(weight: int) -> int:
    """The shares that a weight of cgroup v2 was counted from (KEP-2254); the root's where there is none."""
    return 2 + (weight - 1) * 262142 // 9999 if weight else ROOT_SHARES


def _processes(folder: str, threads: int, threads_max: int) -> Processes:
    """What there is of processes; their files are counted where they are a container's, which are few."""
    pids = text(f"{folder}/cgroup.procs").split()
    if len(pids) > FEW:
        return Processes(len(pids), threads=threads, threads_max=threads_max)
    descriptors = sockets = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            links = os.listdir(f"/proc/{pid}/fd")
            descriptors += len(links)
            sockets += sum(_is_socket(f"/proc/{pid}/fd/{link}") for link in links)
    files = _open_files(text(f"/proc/{pids[0]}/limits")) if pids else None
    return Processes(len(pids), descriptors, sockets, threads, threads_max, files)


def _is_socket(link: str) -> bool:
    try:
        return os.readlink(link).startswith("socket:")
    except OSError:
        return False


def _open_files(limits: str) -> int | None:
    """The soft limit of open files in the text of /proc/<pid>/limits; -1: none."""
    for line in limits.splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else -1
    return None


def _bytes(path: str) -> int:
    """A limit of cgroup v1; 0 where there is none."""
    value = _number(path)
    return value if value < NO_LIMIT else 0


def _number(path: str) -> int:
    word = text(path).strip()
    return int(word) if word.lstrip("-").isdigit() else 0


def _pairs(path: str) -> Mapping[str, int]:
    """The lines `name number` of a file."""
    words = (line.split() for line in text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdigit()}
