"""NodeName: a pod that names its node goes nowhere else."""

from typing import Any

from minikube_py.scheduler.framework import SKIP, NodeRule, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot


class NodeName(NodeRule):
    """spec.nodeName of a pod that is still to be bound."""

    order = 1

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        return pod.spec.get("nodeName") or SKIP

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if node.name == prepared:
            return None
        return reject("node(s) didn't match the requested node name", resolvable=False)
