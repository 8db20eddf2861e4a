"""One scheduling decision: which node takes a pod. Pure but for the choice among equals.

Of many nodes only a sample is looked at: all up to 100; above, as many feasible ones as upstream's least, 5%
and 100. The search goes on where the last one ended, so that all nodes get their turn. What local plugins say
of a shape and a node is kept in the node's memo. Room that was made for a nominated pod counts as taken for
pods that are not more urgent.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minikube_py.scheduler.framework import SKIP, Plugin, Reject, normalized
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot

MIN_FEASIBLE, LEAST_PERCENTAGE = 100, 5
Refusal = tuple[Plugin, Reject]
Active = Sequence[tuple[Plugin, Any]]


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen node, and how many were looked at."""

    node: str
    examined: int = 0


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node takes the pod: how many nodes there are, why each refuses, and which plugins said so. `whole` is
    the reason that holds for every node; `resolvable` are the nodes on which evicting other pods could help;
    `remark` is what preemption adds; `silent` is a refusal that nobody is told of."""

    nodes: int
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: frozenset[Plugin] = frozenset()
    whole: str = ""
    resolvable: tuple[NodeInfo, ...] = ()
    remark: str = ""
    silent: bool = False
    examined: int = 0

    @property
    def message(self) -> str:
        """As kubectl users know it: `0/3 nodes are available: 1 Insufficient cpu, ...`."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        told = self.whole or told_reasons(self.reasons)
        message = f"0/{self.nodes} nodes are available: {told}."
        return f"{message} {self.remark}" if self.remark else message


def told_reasons(reasons: Counter[str]) -> str:
    """`1 Insufficient cpu, 2 Too many pods`, in a stable order."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def sample_size(nodes: int, percentage: int = 0) -> int:
    """How many feasible nodes are enough to stop the search, `percentage` of them (0: what is fast enough)."""
    if nodes <= MIN_FEASIBLE:
        return nodes
    return max(MIN_FEASIBLE, nodes * (percentage or LEAST_PERCENTAGE) // 100)


@dataclass(frozen=True, slots=True)
class Asked:
    """The plugins with a say on a pod, with what they prepared: those that look at the node alone (`local`
    refuse, `rated` score), and the others; `only` are the nodes that come into question (None: all),
    by which plugins."""

    local: Active
    rated: Active
    filters: Active
    scorers: Active
    only: frozenset[str] | None = None
    narrowed_by: tuple[Plugin, ...] = ()


@dataclass(slots=True)
class Found:
    """What a search has seen."""

    feasible: list[NodeInfo] = field(default_factory=list)
    refused: list[tuple[NodeInfo, Refusal]] = field(default_factory=list)
    examined: int = 0


class Cycle:
    """Decides with a fixed list of plugins; remembers only where the last search ended. `percentage` is the
    share of the nodes that is looked at (see `sample_size`)."""

    def __init__(
        self, plugins: Sequence[Plugin], chance: random.Random | None = None, percentage: int = 0
    ) -> None:
        self._plugins = tuple(plugins)
        self._percentage = percentage
        self._next = 0
        self._chance = chance or random.Random()
        self._local_scorers = [plugin for plugin in self._plugins if plugin.local and plugin.scores()]

    def decide(self, pod: PodInfo, snapshot: Snapshot) -> Placement | Unschedulable:
        """The node for `pod`, or why there is none."""
        asked = self.ask(pod, snapshot)
        if isinstance(asked, Unschedulable):
            return asked
        nominated = snapshot.node(snapshot.nomination(pod.uid))
        if nominated is not None and self.fits(pod, nominated, snapshot, asked) is None:
            return Placement(nominated.name, 1)
        found = self._search(pod, snapshot, asked)
        if not found.feasible:
            return self._refused(snapshot, asked, found)
        return Placement(self._best(pod, found.feasible, asked).name, found.examined)

    def ask(self, pod: PodInfo, snapshot: Snapshot) -> Asked | Unschedulable:
        """Let every plugin prepare."""
        local: list[tuple[Plugin, Any]] = []
        rated: list[tuple[Plugin, Any]] = []
        filters: list[tuple[Plugin, Any]] = []
        scorers: list[tuple[Plugin, Any]] = []
        for plugin in self._plugins:
            data = plugin.prepare(pod, snapshot)
            if data is SKIP:
                continue
            if isinstance(data, Reject):
                plugins = frozenset((plugin,))
                told = ", ".join(data.reasons)
                return Unschedulable(len(snapshot), plugins=plugins, whole=told, silent=data.silent)
            filtering, scoring = (local, rated) if plugin.local else (filters, scorers)
            if plugin.filters():
                filtering.append((plugin, data))
            if plugin.scores():
                scoring.append((plugin, data))
        narrowing = [(plugin, names) for plugin in self._plugins if (names := plugin.only(pod)) is not None]
        if not narrowing:
            return Asked(local, rated, filters, scorers)
        only = frozenset.intersection(*(names for _, names in narrowing))
        return Asked(local, rated, filters, scorers, only, tuple(plugin for plugin, _ in narrowing))

    def fits(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot, asked: Asked) -> Refusal | None:
        """Why the node does not take the pod now, nominated pods counted; None where it does."""
        if asked.only is not None and node.name not in asked.only:
            plugin = asked.narrowed_by[0]
            return plugin, Reject((f"node(s) didn't satisfy plugin(s) [{type(plugin).__name__}]",), False)
        rivals = snapshot.nominated_before(pod, node.name) if snapshot.nominated else []
        if rivals and (refusal := self._beside(pod, node, snapshot, rivals)) is not None:
            return refusal
        refusal = self._judged(pod, node, asked)[0]
        return refusal if refusal is not None else first_refusal(pod, node, asked.filters)

    def _beside(
        self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot, rivals: list[PodInfo]
    ) -> Refusal | None:
        with supposed(snapshot, node, rivals):
            asked = self.ask(pod, snapshot)
            if isinstance(asked, Unschedulable):
                return next(iter(asked.plugins)), Reject((asked.whole,), resolvable=False)
            return first_refusal(pod, node, (*asked.local, *asked.filters))

    def _search(self, pod: PodInfo, snapshot: Snapshot, asked: Asked) -> Found:
        nodes, found = snapshot.turns, Found()
        if asked.only is not None:
            nodes = [info for name in sorted(asked.only) if (info := snapshot.node(name)) is not None]
        count, enough, shape = len(nodes), sample_size(len(nodes), self._percentage), pod.shape
        start = self._next % count if count else 0
        nominated, filters, feasible = snapshot.nominated, asked.filters, found.feasible
        for node in (*nodes[start:], *nodes[:start]):
            found.examined += 1
            entry = node.memo.get(shape)
            if nominated and node.name in nominated:
                refusal = self.fits(pod, node, snapshot, asked)
            else:
                refusal = (self._judge(pod, node, asked) if entry is None else entry)[0]
                if refusal is None and filters:
                    refusal = first_refusal(pod, node, filters)
            if refusal is not None:
                found.refused.append((node, refusal))
                continue
            feasible.append(node)
            if len(feasible) >= enough:
                break
        if asked.only is None:
            self._next = start + found.examined
        return found

    def _judged(self, pod: PodInfo, node: NodeInfo, asked: Asked) -> tuple[Refusal | None, int, Any]:
        found: tuple[Refusal | None, int, Any] | None = node.memo.get(pod.shape)
        return found if found is not None else self._judge(pod, node, asked)

    def _judge(self, pod: PodInfo, node: NodeInfo, asked: Asked) -> tuple[Refusal | None, int, Any]:
        """(refusal, weighted sum of the scores on the scale, raw scores that are to be normalized, or None
        where all are 0) by the local plugins; kept in the node's memo."""
        refusal = first_refusal(pod, node, asked.local)
        fixed, raws = 0, []
        for plugin, data in asked.rated if refusal is None else ():
            score = plugin.score(pod, node, data)
            if plugin.normalize:
                raws.append((plugin, score))
            else:
                fixed += score * plugin.weight
        entry = (refusal, fixed, raws if any(raw for _, raw in raws) else None)
        node.remember(pod.shape, entry)
        return entry

    def _best(self, pod: PodInfo, feasible: list[NodeInfo], asked: Asked) -> NodeInfo:
        if len(feasible) == 1:
            return feasible[0]
        entries = [self._judged(pod, node, asked) for node in feasible]
        totals = [entry[1] for entry in entries]
        if any(entry[2] is not None for entry in entries):
            self._add_normalized(entries, totals)
        for plugin, data in asked.scorers:
            rated = plugin.rate(pod, feasible, data)
            if rated is not None:
                weight = plugin.weight
                totals = [total + score * weight for total, score in zip(totals, rated, strict=True)]
        best = max(totals)
        return feasible[self._chance.choice([n for n, total in enumerate(totals) if total == best])]

    def _add_normalized(self, entries: list[tuple[Any, int, Any]], totals: list[int]) -> None:
        for plugin in self._local_scorers:
            if not plugin.normalize:
                continue
            raw = [next((s for p, s in entry[2] or () if p is plugin), 0) for entry in entries]
            for number, score in enumerate(normalized(raw, plugin.normalize)):
                totals[number] += score * plugin.weight

    def _refused(self, snapshot: Snapshot, asked: Asked, found: Found) -> Unschedulable:
        reasons: Counter[str] = Counter()
        for _, (_, rejected) in found.refused:
            reasons.update(rejected.reasons)
        absent = len(snapshot) - len(found.refused)
        if absent and asked.narrowed_by:
            names = " ".join(sorted(type(plugin).__name__ for plugin in asked.narrowed_by))
            reasons[f"node(s) didn't satisfy plugin(s) [{names}]"] += absent
        return Unschedulable(
            len(snapshot),
            reasons,
            frozenset(plugin for _, (plugin, _) in found.refused) | frozenset(asked.narrowed_by),
            resolvable=tuple(node for node, (_, rejected) in found.refused if rejected.resolvable),
            examined=found.examined,
        )


def first_refusal(pod: PodInfo, node: NodeInfo, filters: Active) -> Refusal | None:
    """Why the node does not take the pod, by the first plugin that says so."""
    for plugin, data in filters:
        rejected = plugin.filter(pod, node, data)
        if rejected is not None:
            return plugin, rejected
    return None


@contextmanager
def supposed(snapshot: Snapshot, node: NodeInfo, pods: Sequence[PodInfo]) -> Iterator[None]:
    """Within, the pods are on the node; afterwards it is as before."""
    memo = node.memo
    for pod in pods:
        snapshot.put_pod(pod, node.name)
    try:
        yield
    finally:
        for pod in pods:
            snapshot.remove_pod(pod.uid)
        node.memo = memo
