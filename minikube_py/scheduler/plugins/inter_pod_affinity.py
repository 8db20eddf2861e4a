"""InterPodAffinity: pods near others, or away from them, as they or those that are placed want it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minikube_py.scheduler.framework import (
    MAX_SCORE,
    NODE_CHANGES,
    SKIP,
    Change,
    Happening,
    Plugin,
    Reject,
    reject,
)
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot
from minikube_py.scheduler.terms import PodTerm, affinity_questions, question

Counts = tuple[str, Mapping[str, int]]
"""(topology key, pods by domain)"""
NOT_NEAR = reject("node(s) didn't match pod affinity rules", resolvable=False)
AVOIDED = reject("node(s) didn't match pod anti-affinity rules")
UNWANTED = reject("node(s) didn't satisfy existing pods anti-affinity rules")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What counts for one pod, live: the pods it wants to be with and away from, the placed pods that do not
    want it, and the weights that domains have by (key, pods by domain, weight)."""

    affinity: tuple[Counts, ...]
    may_be_first: bool
    anti_affinity: tuple[Counts, ...]
    unwanted: tuple[Counts, ...]
    weights: tuple[tuple[str, Mapping[str, int], int], ...]


class InterPodAffinity(Plugin):
    """spec.affinity.podAffinity and podAntiAffinity. `hard_weight` is what the required affinity of a placed
    pod is worth to those it means."""

    order = 15
    weight = 2
    wakes_on = (*NODE_CHANGES, Change.POD_ASSIGNED, Change.POD_FREED, Change.NAMESPACE)

    def __init__(self, hard_weight: int = 1) -> None:
        self._hard_weight = hard_weight

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        standing, terms = snapshot.standing, pod.terms
        if not terms.any_affinity and not standing.anti_affinity and not standing.scored:
            return SKIP
        namespace, labels = pod.key.namespace, pod.labels
        around = snapshot.namespace_labels(namespace)
        wishes = [
            (term.key, counts, weight or self._hard_weight)
            for (term, weight), counts in standing.scored.items()
            if term.matches(namespace, labels, around)
        ]
        wishes += [(t.key, snapshot.tally(question(t)).counts, weight) for t, weight in terms.preferred]
        unwanted = tuple(
            (term.key, counts)
            for term, counts in standing.anti_affinity.items()
            if term.matches(namespace, labels, around)
        )
        if not terms.any_affinity and not wishes and not unwanted:
            return SKIP
        towards = [snapshot.tally(asked) for asked in affinity_questions(terms.affinity)]
        means_itself = all(term.matches(namespace, labels, around) for term in terms.affinity)
        return Prepared(
            affinity=tuple((tally.question.key, tally.counts) for tally in towards),
            may_be_first=means_itself and not any(any(tally.counts.values()) for tally in towards),
            anti_affinity=tuple((t.key, snapshot.tally(question(t)).counts) for t in terms.anti_affinity),
            unwanted=unwanted,
            weights=tuple(wish for wish in wishes if wish[2]),
        )

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        labels = node.labels
        if prepared.affinity and not _near(prepared, labels):
            return NOT_NEAR
        for key, counts in prepared.anti_affinity:
            if counts.get(labels.get(key, ""), 0) > 0:
                return AVOIDED
        for key, counts in prepared.unwanted:
            if counts.get(labels.get(key, ""), 0) > 0:
                return UNWANTED
        return None

    def rate(self, pod: PodInfo, nodes: Sequence[NodeInfo], prepared: Any) -> list[int] | None:
        if not prepared.weights:
            return None
        raw = [0] * len(nodes)
        for key, counts, weight in prepared.weights:
            for number, node in enumerate(nodes):
                found = counts.get(node.labels.get(key, ""))
                if found:
                    raw[number] += found * weight
        low, high = min(raw), max(raw)
        if low == high:
            return None
        return [int(MAX_SCORE * ((score - low) / (high - low))) for score in raw]

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        moved, terms = happening.pod, pod.terms
        if happening.change is Change.NAMESPACE:
            return terms.any_affinity
        if moved is None:
            labels = happening.node.labels
            return all(term.key in labels for term in terms.affinity)
        if happening.change is Change.POD_ASSIGNED:
            return _means(terms.affinity, moved)
        return _means(terms.anti_affinity, moved) or _means(moved.terms.anti_affinity, pod)


def _near(prepared: Prepared, labels: Mapping[str, str]) -> bool:
    """Whether the pods wanted are in each of the node's domains; the first of its kind may be anywhere."""
    near = True
    for key, counts in prepared.affinity:
        value = labels.get(key)
        if value is None:
            return False
        near = near and counts.get(value, 0) > 0
    return near or prepared.may_be_first


def _means(terms: tuple[PodTerm, ...], pod: PodInfo) -> bool:
    """Whether a term may mean the pod; where it asks for namespaces by label, it may."""
    namespace, labels = pod.key.namespace, pod.labels
    return any(
        term.selector.matches(labels) and (namespace in term.namespaces or not term.namespace_selector.nothing)
        for term in terms
    )
