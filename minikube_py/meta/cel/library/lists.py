"""Lists: Kubernetes' library (isSorted, sum, min, max, indexOf) and cel-go's lists extension."""

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import Overload, function, overload
from minikube_py.meta.cel.library.operators import signed, unsigned
from minikube_py.meta.cel.values import LISTS, NUMBERS, Duration, Timestamp, equal

_ORDERED: Final = ("int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration")
MAX_RANGE: Final = 1_000_000


def less(left: Any, right: Any) -> bool:
    """left < right. Errors: EvaluationError for what is in no order."""
    first, second = left.__class__, right.__class__
    if (first is second and first in (bool, str, bytes, Timestamp, Duration)) or (
        first in NUMBERS and second in NUMBERS
    ):
        return bool(left < right)
    raise EvaluationError("no such overload")


def _is_sorted(items: list[Any]) -> bool:
    return not any(less(after, before) for before, after in pairwise(items))


def _sum(zero: Any, add: Callable[[Any, Any], Any]) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        total = zero
        for item in items:
            total = add(total, item)
        return total

    return run


def _chosen(name: str, better: Callable[[Any, Any], bool]) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if better(item, best):
                best = item
        return best

    return run


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((place for place, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((place for place in range(len(items) - 1, -1, -1) if equal(items[place], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(
            f"cannot slice({start}, {end}), start index must be less than or equal to end index"
        )
    if end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if item.__class__ in LISTS and depth > 0:
            found += _flatten(item, depth - 1)
        else:
            found.append(item)
    return found


def _range(end: int) -> list[int]:
    if end > MAX_RANGE:
        raise EvaluationError(f"lists.range size exceeds limit: {end}")
    return list(range(end))


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(equal(item, known) for known in found):
            found.append(item)
    return found


def _reversed(items: list[Any]) -> list[Any]:
    return items[::-1]


def _compare(left: Any, right: Any) -> int:
    return -1 if less(left, right) else int(less(right, left))


def _sort(items: list[Any]) -> list[Any]:
    return sorted(items, key=cmp_to_key(_compare))


def _sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    order = sorted(zip(keys, range(len(items)), strict=True), key=cmp_to_key(_compare_keys))
    return [items[place] for _, place in order]


def _compare_keys(left: tuple[Any, int], right: tuple[Any, int]) -> int:
    return _compare(left[0], right[0])


def _sums() -> list[Overload]:
    return [
        overload("list<int>.sum(): int", _sum(0, lambda left, right: signed(left + right)), costs.traversed),
        overload(
            "list<uint>.sum(): uint", _sum(0, lambda left, right: unsigned(left + right)), costs.traversed
        ),
        overload("list<double>.sum(): double", _sum(0.0, lambda left, right: left + right), costs.traversed),
        overload(
            "list<duration>.sum(): duration",
            _sum(Duration(0), lambda left, right: Duration(left.nanos + right.nanos)),
            costs.traversed,
        ),
    ]


def _ordered() -> list[Overload]:
    found = []
    smallest, greatest = _chosen("min", less), _chosen("max", lambda left, right: less(right, left))
    for kind in _ORDERED:
        found.append(overload(f"list<{kind}>.isSorted(): bool", _is_sorted, costs.traversed))
        found.append(overload(f"list<{kind}>.min(): {kind}", smallest, costs.traversed))
        found.append(overload(f"list<{kind}>.max(): {kind}", greatest, costs.traversed))
        found.append(overload(f"list<{kind}>.sort(): list<{kind}>", _sort, costs.traversed))
        found.append(
            overload(f"list<A>.@sortByAssociatedKeys(list<{kind}>): list<A>", _sort_by, costs.traversed)
        )
    return found


OVERLOADS: Final = (
    *_ordered(),
    *_sums(),
    overload("list<A>.indexOf(A): int", _index_of, costs.traversed),
    overload("list<A>.lastIndexOf(A): int", _last_index_of, costs.traversed),
    overload("list<A>.slice(int, int): list<A>", _slice, costs.elements()),
    overload("list<dyn>.flatten(): list<dyn>", _flatten, costs.elements()),
    overload("list<dyn>.flatten(int): list<dyn>", _flatten, costs.elements()),
    overload("list<A>.distinct(): list<A>", _distinct, lambda args, result: costs.size(args[0]) ** 2),
    overload("list<A>.reverse(): list<A>", _reversed, costs.elements()),
    function("lists.range(int): list<int>", _range, lambda args, result: 1 + max(0, args[0])),
)
