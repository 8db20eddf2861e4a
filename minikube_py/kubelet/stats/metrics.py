"""The series of the kubelet's metrics endpoints: /metrics/resource, /metrics/cadvisor, /metrics/probes. Pure.

Names, labels and help are those that Kubernetes documents; of cAdvisor's series the essential ones are there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from minikube_py.kubelet.eviction.disk_use import PodDisk
from minikube_py.kubelet.eviction.thresholds import MEMORY
from minikube_py.kubelet.stats.exposition import Labels, Metric
from minikube_py.kubelet.stats.pressure import Pressure, Stall
from minikube_py.kubelet.stats.summary import NodeUsage, claim_of_volume
from minikube_py.kubelet.stats.usage import ContainerUse, Interface, PodUsage, Use
from minikube_py.kubelet.volumes.usage import VolumeUsage
from minikube_py.meta.objects import Obj, namespace_of
from minikube_py.runtime.base import Container

COUNTER, GAUGE = "counter", "gauge"


def _labels(usage: PodUsage, container: Container | None = None) -> dict[str, str]:
    own = {"container": container.name} if container is not None else {}
    return {**own, "namespace": usage.namespace, "pod": usage.name}


def resource_metrics(node: NodeUsage, used: Sequence[PodUsage]) -> list[Metric]:
    """What metrics-server reads from /metrics/resource."""
    at, memory = int(node.now.timestamp() * 1000), node.signal(MEMORY)
    each = [(_labels(usage, c.container), c) for usage in used for c in usage.containers]
    whole = node.system.get("pods", Use())

    def family(name: str, type: str, help: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
        return Metric(name, type, help, list(samples), at)

    def three(name: str, type: str, help: str, value: Callable[[Use], float], own: float) -> list[Metric]:
        """A family each for containers, for pods and for the node."""
        return [
            family(f"container_{name}", type, help % "the container", ((ls, value(c.use)) for ls, c in each)),
            family(f"node_{name}", type, help % "the node", [({}, own)]),
            family(f"pod_{name}", type, help % "the pod", ((_labels(u), value(u.use)) for u in used)),
        ]

    return [
        *three(
            "cpu_usage_seconds_total",
            COUNTER,
            "[STABLE] Cumulative cpu time consumed by %s in core-seconds",
            lambda use: use.cpu / 1e9,
            node.cpu_seconds,
        ),
        *three(
            "memory_working_set_bytes",
            GAUGE,
            "[STABLE] Current working set of %s in bytes",
            lambda use: use.working_set,
            memory.capacity - memory.available,
        ),
        *three(
            "swap_usage_bytes",
            GAUGE,
            "[ALPHA] Current amount of %s swap usage in bytes. Reported only on non-windows systems",
            lambda use: use.swap,
            whole.swap,
        ),
        Metric(
            "container_start_time_seconds",
            GAUGE,
            "[STABLE] Start time of the container since unix epoch in seconds",
            [(labels, c.container.started_at) for labels, c in each],
        ),
        Metric(
            "resource_scrape_error",
            GAUGE,
            "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
            [({}, 0.0)],
        ),
    ]


_CONTAINER: Sequence[tuple[str, str, str, Callable[[ContainerUse], float]]] = (
    ("cpu_usage_seconds_total", COUNTER, "Cumulative cpu time consumed in seconds.", lambda c: c.use.cpu / 1e9),
    ("memory_cache", GAUGE, "Number of bytes of page cache memory.", lambda c: c.use.cache),
    ("memory_rss", GAUGE, "Size of RSS in bytes.", lambda c: c.use.rss),
    ("memory_swap", GAUGE, "Container swap usage in bytes.", lambda c: c.use.swap),
    (
        "memory_usage_bytes",
        GAUGE,
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        lambda c: c.use.memory,
    ),
    ("memory_working_set_bytes", GAUGE, "Current working set in bytes.", lambda c: c.use.working_set),
    ("processes", GAUGE, "Number of processes running inside the container.", lambda c: c.use.processes),
    ("spec_memory_limit_bytes", GAUGE, "Memory limit for the container.", lambda c: c.use.memory_limit),
    (
        "start_time_seconds",
        GAUGE,
        "Start time of the container since unix epoch in seconds.",
        lambda c: c.container.started_at,
    ),
    (
        "fs_usage_bytes",
        GAUGE,
        "Number of bytes that are consumed by the container on this filesystem.",
        lambda c: c.disk,
    ),
    ("fs_inodes_total", GAUGE, "Number of Inodes", lambda c: c.inodes),
)
_POD = frozenset(
    (
        "cpu_usage_seconds_total",
        "memory_cache",
        "memory_rss",
        "memory_swap",
        "memory_usage_bytes",
        "memory_working_set_bytes",
        "processes",
        "spec_memory_limit_bytes",
    )
)
"""The series that a pod as a whole has too."""
_NETWORK: Sequence[tuple[str, str, Callable[[Interface], int]]] = (
    ("receive_bytes_total", "Cumulative count of bytes received", lambda i: i.received),
    (
        "receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        lambda i: i.receive_errors,
    ),
    (
        "receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        lambda i: i.receive_dropped,
    ),
    ("receive_packets_total", "Cumulative count of packets received", lambda i: i.receive_packets),
    ("transmit_bytes_total", "Cumulative count of bytes transmitted", lambda i: i.sent),
    (
        "transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        lambda i: i.send_errors,
    ),
    (
        "transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        lambda i: i.send_dropped,
    ),
    ("transmit_packets_total", "Cumulative count of packets transmitted", lambda i: i.send_packets),
)


def cadvisor_metrics(node: NodeUsage, used: Sequence[PodUsage], cores: int, kernel: str) -> list[Metric]:
    """The essential series of /metrics/cadvisor."""
    at, memory = int(node.now.timestamp() * 1000), node.signal(MEMORY)
    told = {"cadvisorRevision": "", "cadvisorVersion": "", "dockerVersion": "", "kernelVersion": kernel}
    help = "A metric with a constant '1' value labeled by kernel version, OS version, docker version."
    found = [Metric("cadvisor_version_info", GAUGE, help, [({**told, "osVersion": ""}, 1.0)])]
    for name, type, text, value in _CONTAINER:
        extra = {"cpu": "total"} if name.startswith("cpu_") else {}
        samples = [(_of_pod(u) | extra, value(_whole(u))) for u in used if name in _POD]
        samples += [(_of_container(u, c) | extra, value(c)) for u in used for c in u.containers]
        found.append(Metric(f"container_{name}", type, text, samples, at))
    for name, text, count in _NETWORK:
        counters = [
            ({"interface": interface.name, **_of_pod(usage)}, float(count(interface)))
            for usage in used
            for interface in usage.network
        ]
        found.append(Metric(f"container_network_{name}", COUNTER, text, counters, at))
    return [
        *found,
        *_pressure_metrics(used, at),
        Metric("machine_cpu_cores", GAUGE, "Number of logical CPU cores.", [({}, cores)]),
        Metric("machine_memory_bytes", GAUGE, "Amount of memory installed.", [({}, memory.capacity)]),
        Metric("container_scrape_error", GAUGE, "1 if there was an error, 0 otherwise", [({}, 0.0)]),
    ]


_CONGESTED = {"cpu": "CPU", "io": "IO", "memory": "memory"}
_STALLS: Sequence[tuple[str, str, Callable[[Pressure], Stall]]] = (
    ("stalled", "no tasks in the container could make progress", lambda pressure: pressure.full),
    ("waiting", "tasks in the container have waited", lambda pressure: pressure.some),
)


def _pressure_metrics(used: Sequence[PodUsage], at: int) -> list[Metric]:
    """How long pods and containers were stalled, in seconds; where the kernel tells it."""
    each = [(_of_pod(usage), usage.use.pressures) for usage in used]
    each += [(_of_container(usage, c), c.use.pressures) for usage in used for c in usage.containers]
    found = []
    for resource, congested in _CONGESTED.items():
        for kind, text, stall in _STALLS:
            samples = [(ls, stall(known[resource]).total / 1e6) for ls, known in each if resource in known]
            name, help = (
                f"container_pressure_{resource}_{kind}_seconds_total",
                f"Total time duration {text} due to",
            )
            found.append(Metric(name, COUNTER, f"{help} {congested} congestion.", samples, at))
    return found


def _whole(usage: PodUsage) -> ContainerUse:
    """The pod's cgroup in the place of a container."""
    return ContainerUse(Container("", "", "", 0, "running", "", "", usage.began), usage.use, usage.path)


def _of_pod(usage: PodUsage) -> dict[str, str]:
    named = {"namespace": usage.namespace, "pod": usage.name}
    return {"container": "", "id": usage.path, "image": "", "name": "", **named}


def _of_container(usage: PodUsage, each: ContainerUse) -> dict[str, str]:
    container = each.container
    named = {"container": container.name, "id": each.path, "image": container.image, "name": container.id}
    return {**named, "namespace": usage.namespace, "pod": usage.name}


_VOLUME: Sequence[tuple[str, str, Callable[[VolumeUsage], int]]] = (
    ("available_bytes", "Number of available bytes in the volume", lambda v: v.available),
    ("capacity_bytes", "Capacity in bytes of the volume", lambda v: v.capacity),
    ("inodes", "Maximum number of inodes in the volume", lambda v: v.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda v: v.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda v: v.inodes_used),
    ("used_bytes", "Number of used bytes in the volume", lambda v: v.used),
)


def volume_metrics(pods: Iterable[tuple[Obj, PodDisk]]) -> list[Metric]:
    """The use of each claim's volume, once however many pods use it."""
    found: dict[tuple[str, str], VolumeUsage] = {}
    for pod, disk in pods:
        for name, used in disk.volumes.items():
            if claim := claim_of_volume(pod, name):
                found.setdefault((namespace_of(pod), claim), used)
    return [
        Metric(
            f"kubelet_volume_stats_{name}",
            GAUGE,
            f"[ALPHA] {help}",
            [
                ({"namespace": namespace, "persistentvolumeclaim": claim}, float(value(used)))
                for (namespace, claim), used in sorted(found.items(), key=lambda item: item[0])
            ],
        )
        for name, help, value in _VOLUME
    ]


def probe_metrics(counts: Mapping[tuple[str, ...], int]) -> list[Metric]:
    """What /metrics/probes tells: how often each probe succeeded and failed, by (container, namespace, pod,
    pod_uid, probe_type, result)."""
    names = ("container", "namespace", "pod", "pod_uid", "probe_type", "result")
    help = "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result."
    samples = [(dict(zip(names, key, strict=True)), float(count)) for key, count in sorted(counts.items())]
    return [Metric("prober_probe_total", COUNTER, help, samples)]
