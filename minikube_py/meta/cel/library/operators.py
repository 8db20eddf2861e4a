"""Operators on numbers, text, lists and times. Source: the CEL language definition, standard definitions.

Integers are 64 bits wide: what does not fit is an error. Numbers of different types compare by value.
"""

from collections.abc import Callable
from itertools import product as every
from math import inf, isnan, nan
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import Overload, overload
from minikube_py.meta.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    MapList,
    SetList,
    Timestamp,
    UInt,
    equal,
)


def signed(value: int) -> int:
    """The integer, or the error that it does not fit."""
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("integer overflow")
    return value


def unsigned(value: int) -> UInt:
    """The unsigned integer, or the error that it does not fit."""
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


def _add(left: int, right: int) -> int:
    return signed(left + right)


def _subtract(left: int, right: int) -> int:
    return signed(left - right)


def _multiply(left: int, right: int) -> int:
    return signed(left * right)


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return signed(quotient if (left < 0) == (right < 0) else -quotient)


def _modulo(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _divide_double(left: float, right: float) -> float:
    if right:
        return left / right
    return nan if not left or isnan(left) else (inf if (left > 0) == (str(right)[0] != "-") else -inf)


def _unsigned(run: Callable[[int, int], int]) -> Callable[[int, int], UInt]:
    return lambda left, right: unsigned(run(int(left), int(right)))


def _divide_unsigned(left: int, right: int) -> UInt:
    return UInt(_divide(int(left), int(right)))


def _modulo_unsigned(left: int, right: int) -> UInt:
    return UInt(_modulo(int(left), int(right)))


def concat(left: list[Any], right: list[Any]) -> list[Any]:
    """The lists one after the other; set and map lists are merged, as server-side apply merges them."""
    if isinstance(left, SetList):
        added = [item for item in right if not any(equal(item, known) for known in left)]
        return SetList([*left, *added])
    if isinstance(left, MapList):
        merged = {left.key_of(item): item for item in left}
        merged.update((left.key_of(item), item) for item in right)
        made = MapList(merged.values())
        made.keys = left.keys
        return made
    return [*left, *right]


_ARITHMETIC: Final = (
    overload("_+_(int, int): int", _add),
    overload("_+_(uint, uint): uint", _unsigned(lambda left, right: left + right)),
    overload("_+_(double, double): double", lambda left, right: left + right),
    overload("_+_(string, string): string", lambda left, right: left + right, costs.both),
    overload("_+_(bytes, bytes): bytes", lambda left, right: left + right, costs.both),
    overload("_+_(list<A>, list<A>): list<A>", concat),
    overload("_+_(timestamp, duration): timestamp", lambda at, long: Timestamp(at.nanos + long.nanos)),
    overload("_+_(duration, timestamp): timestamp", lambda long, at: Timestamp(at.nanos + long.nanos)),
    overload("_+_(duration, duration): duration", lambda left, right: Duration(left.nanos + right.nanos)),
    overload("_-_(int, int): int", _subtract),
    overload("_-_(uint, uint): uint", _unsigned(lambda left, right: left - right)),
    overload("_-_(double, double): double", lambda left, right: left - right),
    overload("_-_(timestamp, timestamp): duration", lambda left, right: Duration(left.nanos - right.nanos)),
    overload("_-_(timestamp, duration): timestamp", lambda at, long: Timestamp(at.nanos - long.nanos)),
    overload("_-_(duration, duration): duration", lambda left, right: Duration(left.nanos - right.nanos)),
    overload("_*_(int, int): int", _multiply),
    overload("_*_(uint, uint): uint", _unsigned(lambda left, right: left * right)),
    overload("_*_(double, double): double", lambda left, right: left * right),
    overload("_/_(int, int): int", _divide),
    overload("_/_(uint, uint): uint", _divide_unsigned),
    overload("_/_(double, double): double", _divide_double),
    overload("_%_(int, int): int", _modulo),
    overload("_%_(uint, uint): uint", _modulo_unsigned),
    overload("-_(int): int", lambda value: signed(-value)),
    overload("-_(double): double", lambda value: -value),
    overload("!_(bool): bool", lambda value: not value),
)

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "_<_": lambda left, right: left < right,
    "_<=_": lambda left, right: not right < left,
    "_>_": lambda left, right: right < left,
    "_>=_": lambda left, right: not left < right,
}
_FLOATS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    **_COMPARE,
    "_<=_": lambda left, right: left <= right,  # NaN is in no order
    "_>=_": lambda left, right: left >= right,
}


def _relations() -> list[Overload]:
    found = []
    for name, run in _COMPARE.items():
        same = ("bool", "timestamp", "duration")
        found += [overload(f"{name}({kind}, {kind}): bool", run) for kind in same]
        found += [overload(f"{name}({kind}, {kind}): bool", run, costs.shorter) for kind in ("string", "bytes")]
        numbers = every(("int", "uint", "double"), repeat=2)
        found += [overload(f"{name}({left}, {right}): bool", _FLOATS[name]) for left, right in numbers]
    return found


def _contains(item: Any, container: Any) -> bool:
    return any(equal(item, known) for known in container)


def _has_key(key: Any, container: Any) -> bool:
    if key.__class__ is float:
        return key.is_integer() and int(key) in container
    return key in container


def _not_equal(left: Any, right: Any) -> bool:
    return not equal(left, right)


OVERLOADS: Final = (
    *_ARITHMETIC,
    *_relations(),
    overload("_==_(A, A): bool", equal, costs.shorter),
    overload("_!=_(A, A): bool", _not_equal, costs.shorter),
    overload("@in(A, list<A>): bool", _contains, costs.elements(1)),
    overload("@in(A, map<A, B>): bool", _has_key),
)
"""The logical operators, `?:`, indices and fields are no functions: they are the language."""
