"""The series of /metrics/cadvisor by cgroup: named, typed and labelled as cAdvisor in a kubelet does. Pure.

Limits and start times carry no time of their own. CPU load and task states, which a kubelet only knows as
zeros, are left out.
"""

from collections.abc import Callable, Iterator, Sequence

from minikube_py.kubelet.stats.cgroup import Cgroup
from minikube_py.kubelet.stats.pressure import Pressure, Stall
from minikube_py.kubelet.stats.series import (
    COUNTER,
    GAUGE,
    NONE,
    Extra,
    Family,
    Row,
    Values,
    disks,
    filesystems,
    interfaces,
    known,
    one,
    pressure,
    quota,
    spec,
)
from minikube_py.kubelet.stats.usage import Interface


def _faults(row: Row) -> Values:
    own, use = row.cgroup.memory.faults, row.cgroup.use
    for scope, counts in (("container", own), ("hierarchy", (use.page_faults, use.major_faults))):
        for kind, count in zip(("pgfault", "pgmajfault"), counts, strict=True):
            yield (("failure_type", kind), ("scope", scope)), count


def _operations(row: Row) -> Values:
    for disk in row.cgroup.disks:
        where = (("device", disk.device), ("major", str(disk.major)), ("minor", str(disk.minor)))
        yield (*where, ("operation", "Read")), disk.read_bytes
        yield (*where, ("operation", "Write")), disk.written_bytes


def _files(row: Row) -> Values:
    limit = row.cgroup.processes.open_files
    return () if limit is None else (((("ulimit", "max_open_files"),), limit),)


def families() -> list[Family]:
    """All families, in the order of their names."""
    return sorted(
        (*_cpu(), *_memory(), *_disk(), *_network(), *_processes(), *_specs(), *_pressure()), key=_name
    )


def _name(family: Family) -> str:
    return family.name


def _cpu() -> Iterator[Family]:
    total: Extra = (("cpu", "total"),)
    told: Sequence[tuple[str, str, Callable[[Row], Values]]] = (
        ("user_seconds_total", "Cumulative user cpu time consumed in seconds.", one(lambda c: c.cpu.user)),
        (
            "system_seconds_total",
            "Cumulative system cpu time consumed in seconds.",
            one(lambda c: c.cpu.system),
        ),
        (
            "usage_seconds_total",
            "Cumulative cpu time consumed in seconds.",
            lambda row: ((total, row.cgroup.use.cpu / 1e9),),
        ),
        (
            "cfs_periods_total",
            "Number of elapsed enforcement period intervals.",
            quota(lambda c: c.cpu.periods),
        ),
        (
            "cfs_throttled_periods_total",
            "Number of throttled period intervals.",
            quota(lambda c: c.cpu.throttled),
        ),
        (
            "cfs_throttled_seconds_total",
            "Total time duration the container has been throttled.",
            quota(lambda c: c.cpu.throttled_seconds),
        ),
        ("cfs_burst_periods_total", "Number of periods when burst occurs.", quota(lambda c: c.cpu.bursts)),
        (
            "cfs_burst_seconds_total",
            "Total time duration the container has been bursted.",
            quota(lambda c: c.cpu.burst_seconds),
        ),
    )
    for name, help, values in told:
        yield Family(f"container_cpu_{name}", COUNTER, help, values)


def _memory() -> Iterator[Family]:
    whole = "Current memory usage in bytes, including all memory regardless of when it was accessed"
    told: Sequence[tuple[str, str, str, Callable[[Cgroup], float]]] = (
        ("cache", GAUGE, "Number of bytes of page cache memory.", lambda c: c.use.cache),
        ("rss", GAUGE, "Size of RSS in bytes.", lambda c: c.use.rss),
        ("kernel_usage", GAUGE, "Size of kernel memory allocated in bytes.", lambda c: c.memory.kernel),
        ("mapped_file", GAUGE, "Size of memory mapped files in bytes.", lambda c: c.memory.mapped),
        ("swap", GAUGE, "Container swap usage in bytes.", lambda c: c.use.swap),
        ("failcnt", COUNTER, "Number of memory usage hits limits", lambda c: c.memory.failures),
        ("usage_bytes", GAUGE, whole, lambda c: c.use.memory),
        ("max_usage_bytes", GAUGE, "Maximum memory usage recorded in bytes", lambda c: c.memory.maximum),
        ("working_set_bytes", GAUGE, "Current working set in bytes.", lambda c: c.use.working_set),
        (
            "total_active_file_bytes",
            GAUGE,
            "Current total active file in bytes.",
            lambda c: c.memory.active_file,
        ),
        (
            "total_inactive_file_bytes",
            GAUGE,
            "Current total inactive file in bytes.",
            lambda c: c.memory.inactive_file,
        ),
    )
    for name, type, help, value in told:
        yield Family(f"container_memory_{name}", type, help, one(value))
    failures = "Cumulative count of memory allocation failures."
    yield Family("container_memory_failures_total", COUNTER, failures, _faults)
    kills = "Count of out of memory events observed for the container"
    yield Family("container_oom_events_total", COUNTER, kills, one(lambda c: c.memory.kills))


def _disk() -> Iterator[Family]:
    told: Sequence[tuple[str, str, str, Callable[[Row], Values]]] = (
        ("inodes_free", GAUGE, "Number of available Inodes", filesystems(lambda f: f.inodes_free)),
        ("inodes_total", GAUGE, "Number of Inodes", filesystems(lambda f: f.inodes)),
        (
            "limit_bytes",
            GAUGE,
            "Number of bytes that can be consumed by the container on this filesystem.",
            filesystems(lambda f: f.limit),
        ),
        (
            "usage_bytes",
            GAUGE,
            "Number of bytes that are consumed by the container on this filesystem.",
            filesystems(lambda f: f.used),
        ),
        ("reads_bytes_total", COUNTER, "Cumulative count of bytes read", disks(lambda d: d.read_bytes)),
        ("reads_total", COUNTER, "Cumulative count of reads completed", disks(lambda d: d.reads)),
        ("writes_bytes_total", COUNTER, "Cumulative count of bytes written", disks(lambda d: d.written_bytes)),
        ("writes_total", COUNTER, "Cumulative count of writes completed", disks(lambda d: d.writes)),
    )
    for name, type, help, values in told:
        yield Family(f"container_fs_{name}", type, help, values)
    yield Family("container_blkio_device_usage_total", COUNTER, "Blkio Device bytes usage", _operations)


def _network() -> Iterator[Family]:
    told: Sequence[tuple[str, str, Callable[[Interface], float]]] = (
        ("receive_bytes", "bytes received", lambda i: i.received),
        ("receive_packets", "packets received", lambda i: i.receive_packets),
        ("receive_packets_dropped", "packets dropped while receiving", lambda i: i.receive_dropped),
        ("receive_errors", "errors encountered while receiving", lambda i: i.receive_errors),
        ("transmit_bytes", "bytes transmitted", lambda i: i.sent),
        ("transmit_packets", "packets transmitted", lambda i: i.send_packets),
        ("transmit_packets_dropped", "packets dropped while transmitting", lambda i: i.send_dropped),
        ("transmit_errors", "errors encountered while transmitting", lambda i: i.send_errors),
    )
    for name, what, value in told:
        help = f"Cumulative count of {what}"
        yield Family(f"container_network_{name}_total", COUNTER, help, interfaces(value))


def _processes() -> Iterator[Family]:
    most = "Maximum number of threads allowed inside the container, infinity if value is zero"
    files = "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice"
    told: Sequence[tuple[str, str, Callable[[Cgroup], float]]] = (
        ("processes", "Number of processes running inside the container.", lambda c: c.processes.count),
        ("threads_max", most, lambda c: c.processes.threads_max),
        ("threads", "Number of threads running inside the container", lambda c: c.processes.threads),
    )
    for name, help, value in told:
        yield Family(f"container_{name}", GAUGE, help, one(value))
    yield Family("container_ulimits_soft", GAUGE, files, _files)
    held = known(lambda c: c.processes.descriptors)
    yield Family(
        "container_file_descriptors", GAUGE, "Number of open file descriptors for the container.", held
    )
    sockets = known(lambda c: c.processes.sockets)
    yield Family("container_sockets", GAUGE, "Number of open sockets for the container.", sockets)


def _specs() -> Iterator[Family]:
    yield spec(
        "start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        lambda row: ((NONE, int(row.began)),),
    )
    yield spec(
        "creation_time_seconds",
        "Container creation time since unix epoch in seconds.",
        lambda row: ((NONE, int(row.created)),),
    )
    yield spec("spec_cpu_period", "CPU period of the container.", one(lambda c: c.cpu.period))
    yield spec("spec_cpu_quota", "CPU quota of the container.", quota(lambda c: c.cpu.quota))
    yield spec("spec_cpu_shares", "CPU share of the container.", one(lambda c: c.cpu.shares))
    yield spec(
        "spec_memory_limit_bytes",
        "Memory limit for the container.",
        lambda row: ((NONE, row.memory_limit or row.cgroup.use.memory_limit),),
    )
    yield spec(
        "spec_memory_reservation_limit_bytes",
        "Memory reservation limit for the container.",
        one(lambda c: c.memory.reservation),
    )
    yield spec(
        "spec_memory_swap_limit_bytes",
        "Memory swap limit for the container.",
        one(lambda c: c.memory.swap_limit),
    )


def _pressure() -> Iterator[Family]:
    stalls: Sequence[tuple[str, str, Callable[[Pressure], Stall]]] = (
        ("stalled", "no tasks in the container could make progress", lambda pressure: pressure.full),
        ("waiting", "tasks in the container have waited", lambda pressure: pressure.some),
    )
    for resource, congested in (("cpu", "CPU"), ("io", "IO"), ("memory", "memory")):
        for kind, what, stall in stalls:
            name = f"container_pressure_{resource}_{kind}_seconds_total"
            help = f"Total time duration {what} due to {congested} congestion."
            yield Family(name, COUNTER, help, pressure(resource, stall))


def cadvisor_lines(rows: Sequence[Row], at: float) -> Iterator[str]:
    """The samples of all cgroups, read at `at` (seconds since the epoch)."""
    seen = Family(
        "container_last_seen",
        GAUGE,
        "Last time a container was seen by the exporter",
        lambda row: ((NONE, int(at)),),
    )
    for family in sorted((*families(), seen), key=_name):
        yield from family.lines(rows, int(at * 1000))
