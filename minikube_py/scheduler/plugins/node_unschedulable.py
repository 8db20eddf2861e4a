"""NodeUnschedulable: keep pods off cordoned nodes, unless they tolerate it."""

from typing import Any

from minikube_py.meta.objects import dig
from minikube_py.scheduler.framework import Change, Plugin, Reject, reject
from minikube_py.scheduler.plugins.taint_toleration import tolerated
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeUnschedulable(Plugin):
    """spec.unschedulable."""

    order = 0
    wakes_on = (Change.NODE_ADDED, Change.NODE_TAINTS)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return tolerated(CORDONED, pod.spec.get("tolerations") or ())

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if prepared or not dig(node.node, "spec.unschedulable", False):
            return None
        return reject("node(s) were unschedulable", resolvable=False)
