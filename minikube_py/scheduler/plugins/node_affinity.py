"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from typing import Any

from minikube_py.kinds.podspec.nodefit import matches_term, selects
from minikube_py.meta.objects import Obj, dig
from minikube_py.scheduler.framework import SKIP, Change, NodeRule, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot
from minikube_py.scheduler.terms import PREFERRED, REQUIRED


class NodeAffinity(NodeRule):
    """spec.nodeSelector and spec.affinity.nodeAffinity; `added` is the affinity that the configuration adds."""

    order = 3
    weight = 2
    normalize = "max"
    local = True
    wakes_on = (Change.NODE_ADDED, Change.NODE_LABELS)

    def __init__(self, added: Obj | None = None) -> None:
        self._added: Obj = {"affinity": {"nodeAffinity": added}} if added else {}
        self._wished: list[Obj] = (added or {}).get(PREFERRED) or []

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        affinity = dig(pod.spec, "affinity.nodeAffinity", {})
        preferred = [*(affinity.get(PREFERRED) or ()), *self._wished]
        if self._added:
            return preferred
        if not pod.spec.get("nodeSelector") and affinity.get(REQUIRED) is None and not preferred:
            return SKIP
        return preferred

    def only(self, pod: PodInfo) -> frozenset[str] | None:
        """The nodes that a required affinity names, as that of a DaemonSet's pods does."""
        terms = dig(pod.spec, f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms")
        if not terms:
            return None
        named = [_names(term) for term in terms]
        if any(names is None for names in named):
            return None
        return frozenset().union(*(names for names in named if names is not None))

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if self._added and not selects(self._added, node.node):
            return reject("node(s) didn't match scheduler-enforced node affinity", resolvable=False)
        if selects(pod.spec, node.node):
            return None
        return reject("node(s) didn't match Pod's node affinity/selector", resolvable=False)

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        return sum(
            int(wish.get("weight") or 0)
            for wish in prepared
            if not (wish.get("preference") or {}) or matches_term(wish["preference"], node.node)
        )


def _names(term: Obj) -> frozenset[str] | None:
    """The nodes that a term names; None where it names none."""
    named = [
        frozenset(field.get("values") or ())
        for field in term.get("matchFields") or ()
        if field.get("key") == "metadata.name" and field.get("operator") == "In"
    ]
    return frozenset.intersection(*named) if named else None
