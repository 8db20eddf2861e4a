"""What the kubelet's server tells of usage: /stats/summary, /metrics/resource and /metrics. Pure rendering."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from minikube_py.kubelet.view import POD_NAME, POD_NAMESPACE, POD_UID
from minikube_py.meta.objects import Obj, timestamp
from minikube_py.runtime.base import Container, ContainerStats


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """The machine as a whole. Memory in bytes, CPU in seconds since boot; disk is (capacity, available)."""

    name: str
    memory: int
    memory_available: int
    cpu_seconds: float
    booted: datetime
    disk: tuple[int, int]
    now: datetime


Used = Sequence[tuple[Container, ContainerStats]]


def summary(node: NodeUsage, used: Used) -> Obj:
    """The Summary object of /stats/summary."""
    time = timestamp(node.now)
    capacity, available = node.disk
    return {
        "node": {
            "nodeName": node.name,
            "startTime": timestamp(node.booted),
            "cpu": {"time": time, "usageCoreNanoSeconds": int(node.cpu_seconds * 1e9)},
            "memory": {
                "time": time,
                "availableBytes": node.memory_available,
                "usageBytes": node.memory - node.memory_available,
                "workingSetBytes": node.memory - node.memory_available,
            },
            "fs": {
                "time": time,
                "availableBytes": available,
                "capacityBytes": capacity,
                "usedBytes": capacity - available,
            },
        },
        "pods": [_pod(members, time) for members in _by_pod(used).values()],
    }


def _by_pod(used: Used) -> dict[str, list[tuple[Container, ContainerStats]]]:
    pods: dict[str, list[tuple[Container, ContainerStats]]] = {}
    for container, stats in used:
        pods.setdefault(container.labels.get(POD_UID, ""), []).append((container, stats))
    return pods


def _pod(members: Used, time: str) -> Obj:
    labels = members[0][0].labels
    began = min(container.started_at for container, _ in members)
    return {
        "podRef": {"name": labels[POD_NAME], "namespace": labels[POD_NAMESPACE], "uid": labels[POD_UID]},
        "startTime": _moment(began),
        "containers": [_container(container, stats, time) for container, stats in members],
        "cpu": {"time": time, "usageCoreNanoSeconds": sum(stats.cpu_nanoseconds for _, stats in members)},
        "memory": {
            "time": time,
            "workingSetBytes": sum(stats.memory_working_set for _, stats in members),
            "rssBytes": sum(stats.memory_rss for _, stats in members),
        },
    }


def _container(container: Container, stats: ContainerStats, time: str) -> Obj:
    return {
        "name": container.name,
        "startTime": _moment(container.started_at),
        "cpu": {"time": time, "usageCoreNanoSeconds": stats.cpu_nanoseconds},
        "memory": {
            "time": time,
            "workingSetBytes": stats.memory_working_set,
            "rssBytes": stats.memory_rss,
        },
        "rootfs": {"time": time, "usedBytes": stats.disk_used, "inodesUsed": stats.inodes_used},
    }


def _moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its samples are (labels, value)."""

    name: str
    type: str
    help: str
    samples: Iterable[tuple[Mapping[str, str], float]]


def render(metrics: Iterable[Metric]) -> str:
    """The text exposition format of Prometheus."""
    lines: list[str] = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.type}"]
        for labels, value in metric.samples:
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{metric.name}{{{inside}}} {value:.17g}" if inside else f"{metric.name} {value:.17g}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_metrics(node: NodeUsage, used: Used) -> list[Metric]:
    """What metrics-server reads from /metrics/resource."""
    labelled = [
        (
            {
                "container": container.name,
                "namespace": container.labels[POD_NAMESPACE],
                "pod": container.labels[POD_NAME],
            },
            container,
            stats,
        )
        for container, stats in used
    ]
    return [
        Metric(
            "node_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the node in core-seconds",
            [({}, node.cpu_seconds)],
        ),
        Metric(
            "node_memory_working_set_bytes",
            "gauge",
            "Current working set of the node in bytes",
            [({}, node.memory - node.memory_available)],
        ),
        Metric(
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds",
            [(labels, stats.cpu_nanoseconds / 1e9) for labels, _, stats in labelled],
        ),
        Metric(
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes",
            [(labels, stats.memory_working_set) for labels, _, stats in labelled],
        ),
        Metric(
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds",
            [(labels, container.started_at) for labels, container, _ in labelled],
        ),
    ]
