"""An evaluation under way: the values in its slots, and what it has cost."""

from collections.abc import Callable
from typing import Any, Final

from minikube_py.meta.cel.errors import CostExceeded, EvaluationError
from minikube_py.meta.cel.values import ABSENT, LISTS, MAPS, NUMBERS, Present

UNSET: Final = object()
MISSING: Final = object()


class State:
    """One evaluation. `load` fetches a variable's value when it is first read."""

    __slots__ = ("cost", "limit", "load", "slots")

    def __init__(self, count: int, limit: int, load: Callable[[int], Any]) -> None:
        self.slots: list[Any] = [UNSET] * count
        self.cost = 0
        self.limit = limit
        self.load = load

    def spend(self, cost: int) -> None:
        """Count what a step cost. Errors: CostExceeded."""
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceeded


Run = Callable[[State], Any]
"""A node of the tree, ready to run."""


def field_of(value: Any, name: str) -> Any:
    """The field `name` of a value. Errors: EvaluationError."""
    kind = value.__class__
    if kind in MAPS:
        found = value.get(name, MISSING)
        if found is MISSING:
            raise EvaluationError(f"no such key: {name}")
        return found
    if value is ABSENT or kind is Present:
        return optional_field(value, name)
    raise EvaluationError(f"no such key: {name}")


def has_field(value: Any, name: str) -> bool:
    """Whether a value has the field."""
    if value.__class__ is Present:
        return has_field(value.value, name)
    return value.__class__ in MAPS and name in value


def optional_field(value: Any, name: str) -> Any:
    """The field as an optional."""
    inner = value.value if value.__class__ is Present else value
    if inner is ABSENT or inner.__class__ not in MAPS:
        return ABSENT
    found = inner.get(name, MISSING)
    return ABSENT if found is MISSING else Present(found)


def item_of(value: Any, index: Any) -> Any:
    """`value[index]`. Errors: EvaluationError."""
    kind = value.__class__
    if kind in MAPS:
        found = value.get(_key(index), MISSING)
        if found is MISSING or (index.__class__ is bool) != _is_bool_key(value, index):
            raise EvaluationError(f"no such key: {shown(index)}")
        return found
    if kind in LISTS:
        place = _place(index)
        if not 0 <= place < len(value):
            raise EvaluationError(f"index out of bounds: {place}")
        return value[place]
    if value is ABSENT or kind is Present:
        return optional_item(value, index)
    raise EvaluationError("no such overload")


def _is_bool_key(value: Any, index: Any) -> bool:
    """Whether a number or bool is the very key, since Python takes True for 1."""
    if index.__class__ not in (bool, int) or value.__class__ is not dict or index not in (0, 1):
        return index.__class__ is bool
    return any(key.__class__ is bool for key in value if key == index)


def optional_item(value: Any, index: Any) -> Any:
    """`value[?index]`."""
    inner = value.value if value.__class__ is Present else value
    if inner is ABSENT:
        return ABSENT
    try:
        return Present(item_of(inner, index))
    except EvaluationError:
        return ABSENT


def _key(index: Any) -> Any:
    return int(index) if index.__class__ is float and index.is_integer() else index


def _place(index: Any) -> int:
    if index.__class__ not in NUMBERS:
        raise EvaluationError(f"unsupported index type '{index.__class__.__name__}' in list")
    if int(index) != index:
        raise EvaluationError("unsupported index value in list")
    return int(index)


def shown(value: Any) -> str:
    """A key as messages show it."""
    if value.__class__ is bool:
        return "true" if value else "false"
    return str(value)


def attempt(run: Run, state: State) -> Any:
    """What a node gives, its error included. Errors: CostExceeded."""
    try:
        return run(state)
    except CostExceeded:
        raise
    except EvaluationError as error:
        return error
