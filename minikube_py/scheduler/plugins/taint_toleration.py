"""TaintToleration: repel pods that do not tolerate a node's taints."""

from typing import Any

from minikube_py.kinds.podspec.nodefit import NO_EXECUTE, NO_SCHEDULE, untolerated
from minikube_py.meta.objects import Obj
from minikube_py.scheduler.framework import Change, NodeRule, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot

SOFT = "PreferNoSchedule"


class TaintToleration(NodeRule):
    """NoSchedule and NoExecute taints refuse; PreferNoSchedule taints count against a node."""

    order = 2
    weight = 3
    normalize = "reverse"
    local = True
    wakes_on = (Change.NODE_ADDED, Change.NODE_TAINTS)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> list[Obj]:
        return pod.spec.get("tolerations") or []

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if not node.taints:
            return None
        for taint in untolerated(node.taints, prepared, (NO_SCHEDULE, NO_EXECUTE)):
            named = f"{{{taint.get('key')}: {taint.get('value') or ''}}}"
            return reject(f"node(s) had untolerated taint {named}", resolvable=False)
        return None

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        return len(untolerated(node.taints, prepared, (SOFT,))) if node.taints else 0
