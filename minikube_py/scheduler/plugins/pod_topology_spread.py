"""PodTopologySpread: keep the pods that a selector means evenly spread over the domains of a node label.

A pod without constraints, but with a Service or a controller that selects it, is spread by the cluster's
defaults, which only prefer: over nodes with a skew of 3, over zones with one of 5 (KEP-895, KEP-1258).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.core.node import HOSTNAME, ZONE
from minikube_py.kinds.core.replicationcontroller import ReplicationController
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Key, controller_of, dig
from minikube_py.meta.selectors import Selector, from_label_selector, from_labels
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
from minikube_py.scheduler.tallies import Tally
from minikube_py.scheduler.terms import Constraint, Pod, constraint

MISMATCH = "node(s) didn't match pod topology spread constraints"
SKEWED, UNLABELLED = reject(MISMATCH), reject(f"{MISMATCH} (missing required label)", resolvable=False)
DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))
_CONTROLLERS = {kind.kind: kind for kind in (ReplicationController, ReplicaSet, StatefulSet)}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The constraints that refuse, with their counts and the least of them; those that score."""

    must: tuple[tuple[Constraint, Tally, int], ...]
    may: tuple[tuple[Constraint, Tally], ...]
    needs_all: bool


class PodTopologySpread(Plugin):
    """spec.topologySpreadConstraints, or the cluster's defaults (pairs of topology key and skew)."""

    order = 14
    weight = 2
    wakes_on = (*NODE_CHANGES, Change.POD_ASSIGNED, Change.POD_FREED)

    def __init__(self, defaults: Sequence[tuple[str, int]] = DEFAULTS) -> None:
        self._defaults = tuple(defaults)
        self._known = lru_cache(maxsize=1024)(_constraints)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        terms = pod.terms
        may = terms.may_spread if terms.has_spread else self._default_constraints(pod, snapshot)
        if not may and not terms.must_spread:
            return SKIP
        must = [(one, snapshot.tally(one.question)) for one in terms.must_spread]
        return Prepared(
            tuple((one, tally, least(one, tally.counts)) for one, tally in must),
            tuple((one, snapshot.tally(one.question)) for one in may),
            needs_all=terms.has_spread,
        )

    def _default_constraints(self, pod: PodInfo, snapshot: Snapshot) -> tuple[Constraint, ...]:
        if not self._defaults:
            return ()
        selector = default_selector(pod, snapshot)
        if selector is None:
            return ()
        if pod.spec.get("nodeSelector") or dig(pod.spec, "affinity.nodeAffinity") is not None:
            return _built(self._defaults, selector, Pod(pod.key.namespace, pod.labels, pod.spec))
        return self._known(self._defaults, selector, pod.key.namespace)

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        for one, tally, fewest in prepared.must:
            value = node.labels.get(one.key)
            if value is None:
                return UNLABELLED
            if tally.counts.get(value, 0) + one.counts_itself - fewest > one.max_skew:
                return SKEWED
        return None

    def rate(self, pod: PodInfo, nodes: Sequence[NodeInfo], prepared: Any) -> list[int] | None:
        may: tuple[tuple[Constraint, Tally], ...] = prepared.may
        if not may:
            return None
        keys = [one.key for one, _ in may]
        left_out = [prepared.needs_all and any(key not in n.labels for key in keys) for n in nodes]
        counted = [node for node, out in zip(nodes, left_out, strict=True) if not out]
        raw = [0.0] * len(counted)
        for one, tally in may:
            values = [node.labels.get(one.key) for node in counted]
            domains = len(counted) if one.key == HOSTNAME else len(set(values) - {None})
            heavy, slack, counts = math.log(domains + 2), one.max_skew - 1, tally.counts
            for number, value in enumerate(values):
                if value is not None:
                    raw[number] += counts.get(value, 0) * heavy + slack
        return _spread_out(left_out, [int(score + 0.5) for score in raw])

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        moved = happening.pod
        if moved is None:
            labels = happening.node.labels
            return all(one.key in labels for one in pod.terms.must_spread)
        terms = [term for one in pod.terms.must_spread for term in one.question.terms]
        return any(term.matches(moved.key.namespace, moved.labels, {}) for term in terms)


def least(one: Constraint, counts: Mapping[str, int]) -> int:
    """The fewest pods of a domain; 0 where there are fewer domains than minDomains."""
    return min(counts.values()) if len(counts) >= one.min_domains else 0


def _spread_out(left_out: Sequence[bool], raw: list[int]) -> list[int]:
    """Scores on the scale, the fewest pods best; nodes that are left out get 0."""
    low, high = min(raw, default=0), max(raw, default=0)
    scaled = iter([MAX_SCORE * (high + low - score) // high if high else MAX_SCORE for score in raw])
    return [0 if out else next(scaled) for out in left_out]


def default_selector(pod: PodInfo, snapshot: Snapshot) -> Selector | None:
    """What the pod's Services and its controller select together; None where nothing does."""
    labels, namespace = pod.labels, pod.key.namespace
    joined: dict[str, str] = {}
    for service in snapshot.objects.list(Service, namespace):
        wanted = dig(service, "spec.selector", {})
        if wanted and wanted.items() <= labels.items():
            joined.update(wanted)
    requirements = from_labels(joined).requirements
    owner = controller_of(pod.pod)
    kind = _CONTROLLERS.get(owner["kind"]) if owner else None
    if owner and kind is not None and kind.api_version == owner.get("apiVersion"):
        found = snapshot.objects.get(kind, Key(namespace, owner["name"]))
        selector = dig(found, "spec.selector")
        if selector and kind is ReplicationController:
            requirements = from_labels({**joined, **selector}).requirements
        elif selector:
            requirements = (*requirements, *from_label_selector(selector).requirements)
    return Selector(requirements) if requirements else None


def _constraints(
    defaults: tuple[tuple[str, int], ...], selector: Selector, namespace: str
) -> tuple[Constraint, ...]:
    return _built(defaults, selector, Pod(namespace, {}, {}))


def _built(defaults: tuple[tuple[str, int], ...], selector: Selector, pod: Pod) -> tuple[Constraint, ...]:
    return tuple(constraint(one, selector, pod) for one in defaults)
