"""NodeResourcesBalancedAllocation: prefer nodes whose CPU and memory fill at the same rate."""

from typing import Any

from minikube_py.scheduler.framework import MAX_SCORE, Plugin
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo


class NodeResourcesBalancedAllocation(Plugin):
    """100 less the standard deviation of the used fractions, in percent."""

    order = 6

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        cpu = _fraction(node.requested["cpu"] + pod.requests.get("cpu", 0), node.allocatable.get("cpu", 0))
        memory = _fraction(
            node.requested["memory"] + pod.requests.get("memory", 0), node.allocatable.get("memory", 0)
        )
        return int((1 - abs(cpu - memory) / 2) * MAX_SCORE)


def _fraction(requested: int, allocatable: int) -> float:
    return min(1.0, requested / allocatable) if allocatable else 1.0
