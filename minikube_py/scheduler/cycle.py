"""One scheduling decision: which node takes a pod. Pure but for the choice among equals.

Of many nodes only a sample is looked at, as upstream: all up to 100; above, a share that falls from 50% with
the number of nodes, never below 5% nor 100 nodes. The search goes on where the last one ended, so that all
nodes get their turn.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minikube_py.scheduler.framework import MAX_SCORE, SKIP, Plugin, Reject
from minikube_py.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

MIN_FEASIBLE = 100


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen node, and how many were looked at."""

    node: str
    examined: int = 0


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node takes the pod: how many nodes there are, why each refuses, and which plugins said so."""

    nodes: int
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: frozenset[Plugin] = frozenset()

    @property
    def message(self) -> str:
        """As kubectl users know it: `0/3 nodes are available: 1 Insufficient cpu, ...`."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items()))
        return f"0/{self.nodes} nodes are available: {listed}."


def sample_size(nodes: int) -> int:
    """How many feasible nodes are enough to stop the search."""
    if nodes <= MIN_FEASIBLE:
        return nodes
    percentage = max(5, 50 - nodes // 125)
    return max(MIN_FEASIBLE, nodes * percentage // 100)


class Cycle:
    """Decides with a fixed list of plugins; remembers only where the last search ended."""

    def __init__(self, plugins: Sequence[Plugin], chance: random.Random | None = None) -> None:
        self._plugins = tuple(plugins)
        self._next = 0
        self._chance = chance or random.Random()

    def decide(self, pod: PodInfo, snapshot: Snapshot) -> Placement | Unschedulable:
        """The node for `pod`, or why there is none."""
        prepared = [(plugin, plugin.prepare(pod, snapshot)) for plugin in self._plugins]
        active = [(plugin, data) for plugin, data in prepared if data is not SKIP]
        filters = [(plugin, data) for plugin, data in active if plugin.filters()]
        feasible, refusal, examined = self._search(pod, snapshot.nodes, filters)
        if not feasible:
            return refusal
        scorers = [(plugin, data) for plugin, data in active if plugin.scores()]
        return Placement(self._best(pod, feasible, scorers).name, examined)

    def _search(
        self, pod: PodInfo, nodes: list[NodeInfo], filters: Sequence[tuple[Plugin, Any]]
    ) -> tuple[list[NodeInfo], Unschedulable, int]:
        count, enough = len(nodes), sample_size(len(nodes))
        feasible: list[NodeInfo] = []
        reasons: Counter[str] = Counter()
        refused_by: set[Plugin] = set()
        start, examined = self._next % count if count else 0, 0
        for examined in range(1, count + 1):
            node = nodes[(start + examined - 1) % count]
            refusal = _refusal(pod, node, filters)
            if refusal is None:
                feasible.append(node)
                if len(feasible) >= enough:
                    break
            else:
                plugin, rejected = refusal
                reasons.update(rejected.reasons)
                refused_by.add(plugin)
        self._next = start + examined
        return feasible, Unschedulable(count, reasons, frozenset(refused_by)), examined

    def _best(self, pod: PodInfo, feasible: list[NodeInfo], scorers: Sequence[tuple[Plugin, Any]]) -> NodeInfo:
        if len(feasible) == 1:
            return feasible[0]
        totals = [0] * len(feasible)
        for plugin, data in scorers:
            raw = [plugin.score(pod, node, data) for node in feasible]
            for number, score in enumerate(normalized(raw, plugin.normalize)):
                totals[number] += score * plugin.weight
        best = max(totals)
        return feasible[self._chance.choice([n for n, total in enumerate(totals) if total == best])]


def _refusal(
    pod: PodInfo, node: NodeInfo, filters: Sequence[tuple[Plugin, Any]]
) -> tuple[Plugin, Reject] | None:
    for plugin, data in filters:
        rejected = plugin.filter(pod, node, data)
        if rejected is not None:
            return plugin, rejected
    return None


def normalized(raw: list[int], how: str) -> list[int]:
    """Scores on a scale of 0 to 100; see Plugin.normalize."""
    if not how:
        return raw
    top = max(raw)
    if top == 0:
        return [MAX_SCORE] * len(raw) if how == "reverse" else raw
    scaled = [score * MAX_SCORE // top for score in raw]
    return [MAX_SCORE - score for score in scaled] if how == "reverse" else scaled
