"""NodeResourcesBalancedAllocation: prefer nodes whose CPU and memory fill at the same rate."""

from typing import Any

from minikube_py.scheduler.framework import MAX_SCORE, SKIP, Plugin
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot


class NodeResourcesBalancedAllocation(Plugin):
    """100 less the standard deviation of the used fractions, in percent; not for pods that ask for nothing."""

    order = 6
    local = True

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        requests = pod.shape.requests
        return None if requests.get("cpu") or requests.get("memory") else SKIP

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        fractions = [
            min(1.0, (node.requested.get(resource, 0) + pod.shape.requests.get(resource, 0)) / allocatable)
            for resource in ("cpu", "memory")
            if (allocatable := node.allocatable.get(resource, 0))
        ]
        spread = abs(fractions[0] - fractions[1]) / 2 if len(fractions) == 2 else 0.0
        return int((1 - spread) * MAX_SCORE)
