"""Sets: lists compared as sets (cel-go's sets extension)."""

from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.functions import function
from minikube_py.meta.cel.values import equal


def _contains(whole: list[Any], part: list[Any]) -> bool:
    return all(any(equal(item, known) for known in whole) for item in part)


def _equivalent(left: list[Any], right: list[Any]) -> bool:
    return _contains(left, right) and _contains(right, left)


def _intersects(left: list[Any], right: list[Any]) -> bool:
    return any(any(equal(item, known) for known in right) for item in left)


OVERLOADS: Final = (
    function("sets.contains(list<A>, list<A>): bool", _contains, costs.pairs),
    function("sets.equivalent(list<A>, list<A>): bool", _equivalent, costs.pairs),
    function("sets.intersects(list<A>, list<A>): bool", _intersects, costs.pairs),
)
