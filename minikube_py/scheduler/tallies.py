"""Counts of pods by topology domain, kept up to date with each pod that comes or goes.

A `Tally` answers one Question; `Standing` keeps the (anti-)affinity terms of the pods that are placed, by
domain. Both are live: those who hold one see later changes. They are rebuilt lazily when a node's labels or
taints change so that it counts otherwise, or namespaces' labels. A test proves that they equal a plain count.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from minikube_py.kinds.podspec.nodefit import NO_EXECUTE, NO_SCHEDULE, selects, taints_of, untolerated
from minikube_py.meta.objects import Obj, labels_of, name_of
from minikube_py.scheduler.podinfo import Group, PodInfo
from minikube_py.scheduler.terms import PodTerm, Question

KEPT = 256
"""Tallies that are kept, the last used."""
MEMBERS = 20_000
"""Groups of pods of which a tally remembers whether it means them."""

NamespaceLabels = Callable[[str], Mapping[str, str]]


def eligible(question: Question, node: Obj) -> bool:
    """Whether the pods on a node, and the node's domain, count."""
    labels = labels_of(node)
    if question.key not in labels or any(key not in labels for key in question.needs):
        return False
    if not question.eligible:
        return True
    spec = orjson.loads(question.eligible)
    if "affinity" in spec and not selects(spec, node):
        return False
    effects = (NO_SCHEDULE, NO_EXECUTE)
    return "tolerations" not in spec or not untolerated(taints_of(node), spec["tolerations"], effects)


def domain(question: Question, node: Obj) -> str | None:
    """The domain of a node that counts."""
    return labels_of(node)[question.key] if eligible(question, node) else None


@dataclass(slots=True)
class Tally:
    """How many pods there are in each domain; `counts` has a zero for a domain without any."""

    question: Question
    values: dict[str, str]
    """The domain of each node that counts."""
    counts: dict[str, int]
    _members: dict[Group, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, question: Question, nodes: Iterable[Obj]) -> "Tally":
        """The tally over nodes without pods."""
        domains = ((name_of(node), domain(question, node)) for node in nodes)
        values = {name: found for name, found in domains if found is not None}
        return cls(question, values, dict.fromkeys(values.values(), 0))

    def moved(self, pod: PodInfo, node: str, by: int, namespaces: NamespaceLabels) -> None:
        """A pod came to a node (`by` 1) or left it (-1)."""
        value = self.values.get(node)
        if value is None or (pod.terminating and self.question.leaves_out_terminating):
            return
        if self.means(pod.group, namespaces):
            self.counts[value] += by

    def means(self, group: Group, namespaces: NamespaceLabels) -> bool:
        """Whether all terms mean the pods of a group."""
        means = self._members.get(group)
        if means is None:
            if len(self._members) >= MEMBERS:
                self._members.clear()
            namespace, labels = group[0], dict(group[1])
            around = namespaces(namespace)
            means = all(term.matches(namespace, labels, around) for term in self.question.terms)
            self._members[group] = means
        return means

    def count(self, population: "Population", namespaces: NamespaceLabels) -> None:
        """Count the pods that there are: of each group at once."""
        leaves_out, values, counts = self.question.leaves_out_terminating, self.values, self.counts
        for (group, terminating), nodes in population.groups.items():
            if (terminating and leaves_out) or not self.means(group, namespaces):
                continue
            for node, number in nodes.items():
                if node in values:
                    counts[values[node]] += number


class Population:
    """How many pods of each group there are on each node; those that are being deleted are a group by
    themselves."""

    def __init__(self) -> None:
        self.groups: dict[tuple[Group, bool], dict[str, int]] = {}

    def moved(self, pod: PodInfo, node: str, by: int) -> None:
        """A pod came to a node (`by` 1) or left it (-1)."""
        group = (pod.group, pod.terminating)
        nodes = self.groups.get(group)
        if nodes is None:
            nodes = self.groups[group] = {}
        left = nodes.get(node, 0) + by
        if left:
            nodes[node] = left
            return
        nodes.pop(node, None)
        if not nodes:
            del self.groups[group]


Weighted = tuple[PodTerm, int]


@dataclass(slots=True)
class Standing:
    """The terms of placed pods, with how many pods have each in each domain. `scored` has the weight of a wish,
    0 for what is required (which counts by the hard pod affinity weight)."""

    anti_affinity: dict[PodTerm, dict[str, int]] = field(default_factory=dict)
    scored: dict[Weighted, dict[str, int]] = field(default_factory=dict)

    def moved(self, pod: PodInfo, labels: Mapping[str, str], by: int) -> None:
        """A pod came to a node with these labels (`by` 1) or left it (-1)."""
        terms = pod.terms
        for term in terms.anti_affinity:
            _count(self.anti_affinity, term, labels.get(term.key), by)
        for wish in terms.preferred:
            _count(self.scored, wish, labels.get(wish[0].key), by)
        for term in terms.affinity:
            _count(self.scored, (term, 0), labels.get(term.key), by)


def _count(found: dict[Any, dict[str, int]], asked: Any, value: str | None, by: int) -> None:
    if value is None:
        return
    counts = found.setdefault(asked, {})
    left = counts.get(value, 0) + by
    if left:
        counts[value] = left
        return
    counts.pop(value, None)
    if not counts:
        del found[asked]


class Tallies:
    """Every tally that is asked for, and what placed pods demand."""

    def __init__(
        self,
        nodes: Callable[[], Iterable[Obj]],
        pods: Callable[[], Iterable[tuple[PodInfo, str]]],
        namespaces: NamespaceLabels,
    ) -> None:
        self._nodes, self._pods, self._namespaces = nodes, pods, namespaces
        self._population = Population()
        self._kept: OrderedDict[Question, Tally] = OrderedDict()
        self._standing: Standing | None = None

    def ask(self, question: Question) -> Tally:
        """The live tally of a question."""
        tally = self._kept.get(question)
        if tally is not None:
            self._kept.move_to_end(question)
            return tally
        tally = self._kept[question] = Tally.of(question, self._nodes())
        tally.count(self._population, self._namespaces)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return tally

    def standing(self) -> Standing:
        """The live terms of placed pods."""
        if self._standing is None:
            standing = self._standing = Standing()
            labels = {name_of(node): labels_of(node) for node in self._nodes()}
            for pod, node in self._pods():
                if pod.terms.any_affinity and node in labels:
                    standing.moved(pod, labels[node], 1)
        return self._standing

    def placed(self, pod: PodInfo, node: str, by: int) -> None:
        """A pod came to a node (`by` 1) or left it (-1), which need not be known."""
        self._population.moved(pod, node, by)

    def moved(self, pod: PodInfo, node: Obj, by: int) -> None:
        """A pod came to a known node (`by` 1) or left it (-1)."""
        name = name_of(node)
        for tally in self._kept.values():
            tally.moved(pod, name, by, self._namespaces)
        if self._standing is not None and pod.terms.any_affinity:
            self._standing.moved(pod, labels_of(node), by)

    def node_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A node came (no `old`), changed or went (no `new`): what that touches is counted anew when asked."""
        name = name_of(new or old or {})
        for question, tally in list(self._kept.items()):
            if tally.values.get(name) != (None if new is None else domain(question, new)):
                del self._kept[question]
        if old is None or new is None or labels_of(old) != labels_of(new):
            self._standing = None

    def forget(self) -> None:
        """Namespaces are not what they were: count anew when asked."""
        self._kept.clear()
        self._standing = None
