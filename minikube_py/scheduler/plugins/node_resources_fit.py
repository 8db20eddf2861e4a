"""NodeResourcesFit: a node takes what fits into its allocatable resources; emptier nodes are better."""

from typing import Any

from minikube_py.scheduler.framework import MAX_SCORE, Change, Plugin, Reject, reject
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo


class NodeResourcesFit(Plugin):
    """Requests against allocatable, and the number of pods; scored by LeastAllocated of CPU and memory."""

    order = 5
    wakes_on = (Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.POD_FREED)

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        allocatable, requested = node.allocatable, node.requested
        lacking = []
        if len(node.pods) + 1 > allocatable.get("pods", 0):
            lacking.append("Too many pods")
        for resource, wanted in pod.requests.items():
            if wanted and wanted > allocatable.get(resource, 0) - requested[resource]:
                lacking.append(f"Insufficient {resource}")
        return reject(*lacking) if lacking else None

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        cpu = least_allocated(node.scored_cpu + pod.scored_cpu, node.allocatable.get("cpu", 0))
        memory = least_allocated(node.scored_memory + pod.scored_memory, node.allocatable.get("memory", 0))
        return (cpu + memory) // 2


def least_allocated(requested: int, allocatable: int) -> int:
    """100 for a node that would stay empty, 0 for a full one."""
    if not allocatable or requested > allocatable:
        return 0
    return (allocatable - requested) * MAX_SCORE // allocatable
