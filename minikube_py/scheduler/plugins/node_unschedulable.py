"""NodeUnschedulable: keep pods off cordoned nodes, unless they tolerate it."""

from typing import Any

from minikube_py.kinds.podspec.nodefit import NO_SCHEDULE, UNSCHEDULABLE, tolerates
from minikube_py.meta.objects import dig
from minikube_py.scheduler.framework import Change, NodeRule, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot

CORDONED = {"key": UNSCHEDULABLE, "effect": NO_SCHEDULE}


class NodeUnschedulable(NodeRule):
    """spec.unschedulable."""

    order = 0
    local = True
    wakes_on = (Change.NODE_ADDED, Change.NODE_TAINTS)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> bool:
        return any(tolerates(toleration, CORDONED) for toleration in pod.spec.get("tolerations") or ())

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if prepared or not dig(node.node, "spec.unschedulable", False):
            return None
        return reject("node(s) were unschedulable", resolvable=False)
