"""The series of the kubelet's endpoints /metrics/resource and /metrics/probes, and of volumes. Pure.

Names, labels and help are those that Kubernetes documents.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from minikube_py.kubelet.eviction.disk_use import PodDisk
from minikube_py.kubelet.eviction.thresholds import MEMORY
from minikube_py.kubelet.stats.exposition import Labels, Metric
from minikube_py.kubelet.stats.summary import NodeUsage, claim_of_volume
from minikube_py.kubelet.stats.usage import PodUsage, Use
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
