"""Bounds: a ResourceQuota made ready for judging objects, and for counting what they use together."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from minikube_py.kinds.quota.evaluators import Evaluator, evaluator_of
from minikube_py.kinds.quota.names import measured_by
from minikube_py.kinds.quota.scopes import Scope, scopes_of
from minikube_py.meta.amounts import Amounts, plus
from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.meta.quantity import canonical, format_quantity, parse_quantity

Usage = Callable[[Evaluator, Obj, datetime], Amounts]
"""What an object uses; a caller may remember it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a quota limits, by resource."""

    name: str
    hard: Amounts
    scopes: tuple[Scope, ...]
    names: Mapping[str, tuple[str, ...]]
    """Resource (`pods`) > the quota names that measure its objects."""

    def about(self, evaluator: Evaluator, obj: Obj) -> bool:
        """Whether the quota is about an object of the evaluator's resource."""
        return evaluator.resource in self.names and all(evaluator.in_scope(one, obj) for one in self.scopes)


def bounds_of(quota: Obj) -> Bounds:
    """The bounds in a quota's spec."""
    hard = {name: canonical(amount) for name, amount in (dig(quota, "spec.hard") or {}).items()}
    names: dict[str, tuple[str, ...]] = {}
    for name in sorted(hard):
        if resource := measured_by(name):
            names[resource] = (*names.get(resource, ()), name)
    return Bounds(name_of(quota), hard, scopes_of(quota), names)


def computed(evaluator: Evaluator, obj: Obj, now: datetime) -> Amounts:
    """What an object uses, worked out anew."""
    return evaluator.usage(obj, now)


def measure(
    bounds: Bounds, objects: Mapping[str, Iterable[Obj]], now: datetime, usage: Usage = computed
) -> Amounts:
    """What the objects use together, by resource given, of what the quota limits: zero where it is nothing.
    Names whose resource is not among `objects` are left out."""
    total: Amounts = {}
    for resource, found in objects.items():
        names = bounds.names.get(resource, ())
        evaluator = evaluator_of(resource)
        distinct: Counter[tuple[str | None, ...]] = Counter()
        for obj in found:
            if not bounds.scopes or bounds.about(evaluator, obj):
                used = usage(evaluator, obj, now)
                distinct[tuple(used.get(name) for name in names)] += 1
        total |= dict.fromkeys(names, "0")
        for amounts, number in distinct.items():
            given = zip(names, amounts, strict=True)
            total = plus(total, {name: _times(one, number) for name, one in given if one is not None})
    return total


def _times(amount: str, number: int) -> str:
    if number == 1:
        return amount
    style = "BinarySI" if amount.endswith("i") else "DecimalSI"
    return format_quantity(parse_quantity(amount) * number, style)
