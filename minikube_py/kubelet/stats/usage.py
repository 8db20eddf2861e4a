"""What pods, their containers and the machine use, read from cgroups (v1 and v2) and /proc.

The runtime's own statistics lack much of this before containerd 2.0, and cost it more. A pod without a cgroup
of ours (none are made, or it has just gone) is told as the runtime measures it, or not at all. Reading one
container takes some 100 microseconds of a thread.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.stats.pressure import Pressures, read_pressures
from minikube_py.runtime.base import Container

NO_LIMIT = 1 << 60
"""Bytes above which a limit of cgroup v1 means none."""


@dataclass(frozen=True, slots=True)
class Use:
    """One cgroup. CPU in nanoseconds since it was made, memory in bytes."""

    cpu: int = 0
    working_set: int = 0
    memory: int = 0
    rss: int = 0
    cache: int = 0
    swap: int = 0
    page_faults: int = 0
    major_faults: int = 0
    processes: int = 0
    memory_limit: int = 0
    pressures: Pressures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interface:
    """The counters of one network interface."""

    name: str
    received: int
    receive_errors: int
    receive_dropped: int
    receive_packets: int
    sent: int
    send_errors: int
    send_dropped: int
    send_packets: int


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """One running container; its writable layer where the runtime was asked."""

    container: Container
    use: Use
    path: str = ""
    disk: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class PodUsage:
    """One running pod, by whose `path` its cgroup is found; `began` in seconds since the epoch."""

    uid: str
    namespace: str
    name: str
    began: float
    path: str = ""
    use: Use = Use()
    containers: Sequence[ContainerUse] = ()
    network: Sequence[Interface] = ()
    cpu_rates: Mapping[str, int] = field(default_factory=dict)
    """Nanocores by container name, the pod's own under ''; empty where nothing is known of before."""


@dataclass(frozen=True, slots=True)
class V2:
    """What the files of a cgroup v2 tell besides memory.stat. Bytes, nanoseconds."""

    used: int
    limit: int
    swap: int
    cpu: int
    processes: int
    pressures: Pressures


def read_use(at: Hierarchies, path: str) -> Use | None:
    """The use of the cgroup at `path`, None where it has gone. Blocking."""
    try:
        return _v2(at, path) if at.v2 else _v1(at, path)
    except (OSError, ValueError):
        return None


def _v1(at: Hierarchies, path: str) -> Use | None:
    def folder(controller: str) -> Path | None:
        root = at.controllers.get(controller)
        return root / path.strip("/") if root is not None else None

    cpu, memory, pids = folder("cpuacct"), folder("memory"), folder("pids")
    stat = _pairs(memory / "memory.stat") if memory else {}
    used = _number(memory / "memory.usage_in_bytes") if memory else 0
    limit = _number(memory / "memory.limit_in_bytes") if memory else 0
    if cpu is None and memory is None:
        return None
    spent, processes = (
        _number(cpu / "cpuacct.usage") if cpu else 0,
        _number(pids / "pids.current") if pids else 0,
    )
    return v1_use(stat, used, limit, spent, processes)


def v1_use(stat: Mapping[str, int], used: int, limit: int, cpu: int, processes: int) -> Use:
    """The use of a cgroup v1 by its memory.stat and the numbers of its other files."""
    return Use(
        cpu=cpu,
        working_set=max(0, used - stat.get("total_inactive_file", 0)),
        memory=used,
        rss=stat.get("total_rss", 0),
        cache=stat.get("total_cache", 0),
        swap=stat.get("total_swap", 0),
        page_faults=stat.get("total_pgfault", 0),
        major_faults=stat.get("total_pgmajfault", 0),
        processes=processes,
        memory_limit=limit if limit < NO_LIMIT else 0,
    )


def _v2(at: Hierarchies, path: str) -> Use | None:
    if at.unified is None:
        return None
    folder = at.unified / path.strip("/")
    cpu = _pairs(folder / "cpu.stat").get("usage_usec", 0) * 1000
    stat = _pairs(folder / "memory.stat") if (folder / "memory.stat").exists() else {}
    used = _number(folder / "memory.current") if stat else 0
    swap, pids, limit = folder / "memory.swap.current", folder / "pids.current", folder / "memory.max"
    most, swapped, processes = (_number(file) if file.exists() else 0 for file in (limit, swap, pids))
    return v2_use(stat, V2(used, most, swapped, cpu, processes, read_pressures(folder)))


def v2_use(stat: Mapping[str, int], told: V2) -> Use:
    """The use of a cgroup v2 by its memory.stat and what its other files tell."""
    return Use(
        cpu=told.cpu,
        working_set=max(0, told.used - stat.get("inactive_file", 0)),
        memory=told.used,
        rss=stat.get("anon", 0),
        cache=stat.get("file", 0),
        swap=told.swap,
        page_faults=stat.get("pgfault", 0),
        major_faults=stat.get("pgmajfault", 0),
        processes=told.processes,
        memory_limit=told.limit,
        pressures=told.pressures,
    )


def _number(file: Path) -> int:
    text = file.read_text().strip()
    return 0 if text == "max" else int(text)


def _pairs(file: Path) -> dict[str, int]:
    """The lines `name number` of a file."""
    words = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdigit()}


def read_network(at: Hierarchies, path: str) -> list[Interface]:
    """The interfaces, but loopback, of the network namespace of the first process in the cgroup at `path`.
    Blocking; empty where there is none."""
    root = at.unified if at.v2 else at.controllers.get("memory") or at.controllers.get("cpuacct")
    if root is None:
        return []
    try:
        first = next(iter((root / path.strip("/") / "cgroup.procs").read_text().split()), "")
        return list(interfaces(Path(f"/proc/{first}/net/dev").read_text())) if first else []
    except OSError:
        return []


def interfaces(text: str) -> Iterator[Interface]:
    """The interfaces in the text of /proc/net/dev, but loopback."""
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(numbers) >= 12:
            received, sent = numbers[:8], numbers[8:]
            yield Interface(
                name.strip(),
                received=received[0],
                receive_packets=received[1],
                receive_errors=received[2],
                receive_dropped=received[3],
                sent=sent[0],
                send_packets=sent[1],
                send_errors=sent[2],
                send_dropped=sent[3],
            )


OWN_NETWORK = ("veth", "lo")
"""Starts of the names of interfaces that are the pods', or nobody's."""


def machine_interfaces() -> list[Interface]:
    """The interfaces of the machine itself. Blocking."""
    found = interfaces(Path("/proc/net/dev").read_text())
    return [interface for interface in found if not interface.name.startswith(OWN_NETWORK)]
