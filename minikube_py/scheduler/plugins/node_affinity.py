"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from typing import Any

from minikube_py.meta.objects import Obj, dig
from minikube_py.scheduler.framework import SKIP, Change, Plugin, Reject, label_terms_match, reject
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo, Snapshot


class NodeAffinity(Plugin):
    """spec.nodeSelector and spec.affinity.nodeAffinity."""

    order = 3
    weight = 2
    normalize = "max"
    wakes_on = (Change.NODE_ADDED, Change.NODE_LABELS)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        selector = pod.spec.get("nodeSelector") or {}
        affinity = dig(pod.spec, "affinity.nodeAffinity", {})
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        if not selector and required is None and not preferred:
            return SKIP
        return selector, required, preferred

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        selector, required, _ = prepared
        if any(node.labels.get(key) != value for key, value in selector.items()) or not _any_term(
            required, node
        ):
            return reject("node(s) didn't match Pod's node affinity/selector", resolvable=False)
        return None

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        terms = prepared[2]
        return sum(int(t.get("weight") or 0) for t in terms if _term_matches(t.get("preference") or {}, node))


def _any_term(required: Obj | None, node: NodeInfo) -> bool:
    """Terms are alternatives; a required affinity without any term matches no node."""
    if required is None:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term_matches(term: Obj, node: NodeInfo) -> bool:
    expressions, fields = term.get("matchExpressions"), term.get("matchFields")
    if not expressions and not fields:
        return False
    return label_terms_match(node.labels, expressions, {"metadata.name": node.name}, fields)
