"""TaintToleration: repel pods that do not tolerate a node's taints."""

from collections.abc import Iterable
from typing import Any

from minikube_py.meta.objects import Obj
from minikube_py.scheduler.framework import Change, Plugin, Reject, reject
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo, Snapshot


class TaintToleration(Plugin):
    """NoSchedule and NoExecute taints refuse; PreferNoSchedule taints count against a node."""

    order = 2
    weight = 3
    normalize = "reverse"
    wakes_on = (Change.NODE_ADDED, Change.NODE_TAINTS)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> list[Obj]:
        return pod.spec.get("tolerations") or []

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        for taint in node.taints:
            if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerated(taint, prepared):
                named = f"{{{taint.get('key')}: {taint.get('value') or ''}}}"
                return reject(f"node(s) had untolerated taint {named}", resolvable=False)
        return None

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        soft = (taint for taint in node.taints if taint.get("effect") == "PreferNoSchedule")
        return sum(not tolerated(taint, prepared) for taint in soft)


def tolerated(taint: Obj, tolerations: Iterable[Obj]) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
