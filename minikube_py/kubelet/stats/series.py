"""What the table of /metrics/cadvisor is made of: a cgroup with its labels, and a family of series. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.kubelet.stats.cgroup import Cgroup
from minikube_py.kubelet.stats.disks import Disk
from minikube_py.kubelet.stats.exposition import braced, number
from minikube_py.kubelet.stats.pressure import Pressure, Stall
from minikube_py.kubelet.stats.usage import Interface

COUNTER, GAUGE = "counter", "gauge"
Extra = tuple[tuple[str, str], ...]
"""Labels of one sample besides those of its cgroup."""
NONE: Extra = ()
Values = Iterable[tuple[Extra, float]]


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A file system that a cgroup uses: bytes in all and used, inodes in all and free."""

    device: str
    limit: int
    used: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class Row:
    """One cgroup: its labels (container, id, image, name, namespace, pod), what it tells, when it was made and
    begun (seconds since the epoch), and the memory it may have (0: any)."""

    labels: Mapping[str, str]
    cgroup: Cgroup
    created: float
    began: float
    memory_limit: int = 0
    network: Sequence[Interface] = ()
    filesystems: Sequence[Filesystem] = ()
    texts: dict[Extra, str] = field(default_factory=dict)

    def text(self, extra: Extra) -> str:
        """The labels of a sample."""
        known = self.texts.get(extra)
        if known is None:
            known = self.texts[extra] = braced({**self.labels, **dict(extra)})
        return known


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family. `timed`: its samples say when they were read."""

    name: str
    type: str
    help: str
    values: Callable[[Row], Values]
    timed: bool = True

    def lines(self, rows: Iterable[Row], at: int) -> Iterator[str]:
        """Its HELP, TYPE and samples; nothing where there are none."""
        behind = f" {at}" if self.timed else ""
        name, values = self.name, self.values
        samples = [f"{name}{row.text(ex)} {number(value)}{behind}" for row in rows for ex, value in values(row)]
        if samples:
            yield from (f"# HELP {name} {self.help}", f"# TYPE {name} {self.type}", *samples)


def one(value: Callable[[Cgroup], float]) -> Callable[[Row], Values]:
    """A family of one sample for each cgroup."""
    return lambda row: ((NONE, value(row.cgroup)),)


def known(value: Callable[[Cgroup], float | None]) -> Callable[[Row], Values]:
    """A family of the cgroups of which it is known."""

    def values(row: Row) -> Values:
        found = value(row.cgroup)
        return () if found is None else ((NONE, found),)

    return values


def quota(value: Callable[[Cgroup], float]) -> Callable[[Row], Values]:
    """A family of the cgroups that have a CPU quota."""
    return lambda row: ((NONE, value(row.cgroup)),) if row.cgroup.cpu.quota else ()


def spec(name: str, help: str, values: Callable[[Row], Values]) -> Family:
    """A family that tells what a cgroup was given."""
    return Family(f"container_{name}", GAUGE, help, values, timed=False)


def disks(value: Callable[[Disk], float]) -> Callable[[Row], Values]:
    """A family with a sample for each device."""
    return lambda row: [((("device", disk.device),), value(disk)) for disk in row.cgroup.disks]


def filesystems(value: Callable[[Filesystem], float]) -> Callable[[Row], Values]:
    """A family with a sample for each file system."""
    return lambda row: [((("device", each.device),), value(each)) for each in row.filesystems]


def interfaces(value: Callable[[Interface], float]) -> Callable[[Row], Values]:
    """A family with a sample for each network interface."""
    return lambda row: [((("interface", each.name),), value(each)) for each in row.network]


def pressure(resource: str, stall: Callable[[Pressure], Stall]) -> Callable[[Row], Values]:
    """A family of the cgroups whose stalls the kernel tells, in seconds."""

    def values(row: Row) -> Values:
        known = row.cgroup.use.pressures.get(resource)
        return ((NONE, stall(known).total / 1e6),) if known is not None else ()

    return values
