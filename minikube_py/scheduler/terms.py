"""What of a pod's spec looks at other pods: (anti-)affinity terms and topology spread constraints, read once.

Terms are immutable values, equal where they ask the same, so that counts may be kept for them. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.selectors import (
    IN,
    NOT_IN,
    NOTHING,
    Requirement,
    Selector,
    from_label_selector,
)

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Pods by labels, in some namespaces by name or by their labels, together in a domain of `key`."""

    key: str
    selector: Selector
    namespaces: frozenset[str] = frozenset()
    namespace_selector: Selector = NOTHING

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Whether the term means a pod with these labels in that namespace."""
        meant = namespace in self.namespaces or self.namespace_selector.matches(namespace_labels)
        return meant and self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Question:
    """What a tally counts: the pods that all `terms` mean, by the values of the node label `key`, over the
    nodes that have all `needs` labels and that `eligible` admits (what `eligibility` gives)."""

    terms: tuple[PodTerm, ...]
    key: str
    needs: tuple[str, ...] = ()
    eligible: str = ""
    leaves_out_terminating: bool = False


@dataclass(frozen=True, slots=True)
class Constraint:
    """A topology spread constraint. `question` counts the pods it is about."""

    max_skew: int
    key: str
    question: Question
    min_domains: int = 1
    counts_itself: bool = False
    """Whether the pod is one of those that its selector means."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What a pod demands of, and wishes for, the pods around it. The weights of what it would avoid are
    negative."""

    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    preferred: tuple[tuple[PodTerm, int], ...] = ()
    must_spread: tuple[Constraint, ...] = ()
    may_spread: tuple[Constraint, ...] = ()
    has_spread: bool = False

    @property
    def any_affinity(self) -> bool:
        return bool(self.affinity or self.anti_affinity or self.preferred)


NO_TERMS = Terms()


def read_terms(spec: Obj, namespace: str, labels: Mapping[str, str]) -> Terms:
    """The terms of a pod's spec."""
    towards, away = (dig(spec, f"affinity.{name}", {}) for name in ("podAffinity", "podAntiAffinity"))
    wishes = [(w, 1) for w in towards.get(PREFERRED) or ()] + [(w, -1) for w in away.get(PREFERRED) or ()]
    constraints = spec.get("topologySpreadConstraints") or ()
    hard = [c for c in constraints if c.get("whenUnsatisfiable") != "ScheduleAnyway"]
    soft = [c for c in constraints if c.get("whenUnsatisfiable") == "ScheduleAnyway"]
    return Terms(
        affinity=tuple(_term(t, namespace, labels) for t in towards.get(REQUIRED) or ()),
        anti_affinity=tuple(_term(t, namespace, labels) for t in away.get(REQUIRED) or ()),
        preferred=tuple(
            (_term(w["podAffinityTerm"], namespace, labels), sign * int(w["weight"])) for w, sign in wishes
        ),
        must_spread=_constraints(hard, spec, namespace, labels),
        may_spread=_constraints(soft, spec, namespace, labels),
        has_spread=bool(constraints),
    )


def _term(term: Obj, namespace: str, labels: Mapping[str, str]) -> PodTerm:
    names, by_labels = term.get("namespaces") or (), term.get("namespaceSelector")
    own = not names and by_labels is None
    return PodTerm(
        key=term.get("topologyKey", ""),
        selector=_selector(term, labels),
        namespaces=frozenset([namespace]) if own else frozenset(names),
        namespace_selector=from_label_selector(by_labels),
    )


def _selector(holder: Obj, labels: Mapping[str, str]) -> Selector:
    """The labelSelector, joined by what matchLabelKeys and mismatchLabelKeys take from the pod's own labels."""
    selector = from_label_selector(holder.get("labelSelector"))
    pairs = ((IN, holder.get("matchLabelKeys")), (NOT_IN, holder.get("mismatchLabelKeys")))
    more = [
        Requirement(key, operator, frozenset((labels[key],)))
        for operator, keys in pairs
        for key in keys or ()
        if key in labels
    ]
    known = set(selector.requirements)
    joined = (*selector.requirements, *(one for one in more if one not in known))
    return Selector(joined, selector.nothing)


def _constraints(
    given: Iterable[Obj], spec: Obj, namespace: str, labels: Mapping[str, str]
) -> tuple[Constraint, ...]:
    listed = list(given)
    needs = tuple(sorted({one["topologyKey"] for one in listed}))
    return tuple(
        constraint(
            (one["topologyKey"], int(one["maxSkew"])),
            _selector(one, labels),
            Pod(namespace, labels, spec),
            needs=needs,
            min_domains=int(one.get("minDomains") or 1),
            policies=(one.get("nodeAffinityPolicy") or "Honor", one.get("nodeTaintsPolicy") or "Ignore"),
        )
        for one in listed
    )


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that a constraint is of."""

    namespace: str
    labels: Mapping[str, str]
    spec: Obj


def constraint(
    what: tuple[str, int],
    selector: Selector,
    pod: Pod,
    *,
    needs: tuple[str, ...] = (),
    min_domains: int = 1,
    policies: tuple[str, str] = ("Honor", "Ignore"),
) -> Constraint:
    """A spread constraint; `what` is (topology key, maxSkew), `policies` those for node affinity and taints."""
    key, max_skew = what
    term = PodTerm(key, selector, frozenset([pod.namespace]))
    eligible = eligibility(pod.spec, affinity=policies[0] == "Honor", taints=policies[1] == "Honor")
    question = Question((term,), key, needs, eligible, leaves_out_terminating=True)
    return Constraint(max_skew, key, question, min_domains, selector.matches(pod.labels))


def eligibility(spec: Obj, *, affinity: bool, taints: bool) -> str:
    """As text, what nodes must meet to be counted: the pod's node selector and required node affinity, and its
    tolerations; empty where that admits every node."""
    admitted: Obj = {}
    required = dig(spec, f"affinity.nodeAffinity.{REQUIRED}")
    if affinity and (spec.get("nodeSelector") or required is not None):
        admitted["nodeSelector"] = spec.get("nodeSelector")
        admitted["affinity"] = {"nodeAffinity": {REQUIRED: required}} if required is not None else {}
    if taints:
        admitted["tolerations"] = spec.get("tolerations") or []
    return orjson.dumps(admitted, option=orjson.OPT_SORT_KEYS).decode() if admitted else ""


def affinity_questions(terms: tuple[PodTerm, ...]) -> tuple[Question, ...]:
    """One question for each distinct topology key of required affinity: the pods that all its terms mean."""
    return tuple(Question(terms, key) for key in dict.fromkeys(term.key for term in terms))


def question(term: PodTerm) -> Question:
    """How many pods a single term means, by domain."""
    return Question((term,), term.key)
