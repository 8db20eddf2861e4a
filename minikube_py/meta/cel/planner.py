"""From a checked tree to closures: each node becomes a function of the evaluation's State.

Overloads are chosen by the classes of the arguments and remembered, so that a call costs a dictionary look-up.
What a step costs is counted as cel-go counts it: names, fields and indices 1, calls what `costs` says.
"""

from collections.abc import Callable
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.calls import plan_call
from minikube_py.meta.cel.errors import CostExceeded, EvaluationError
from minikube_py.meta.cel.folds import plan_fold
from minikube_py.meta.cel.running import (
    UNSET,
    Run,
    State,
    attempt,
    field_of,
    has_field,
    item_of,
    optional_field,
    optional_item,
    shown,
)
from minikube_py.meta.cel.syntax import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select
from minikube_py.meta.cel.values import ABSENT, Present, TypeValue, type_name


def plan(node: Node) -> Run:
    """The node, ready to run."""
    return _PLANS[node.__class__](node)


def _const(node: Const) -> Run:
    value = node.value
    return lambda state: value


def _ident(node: Ident) -> Run:
    if node.slot < 0:
        named = TypeValue(node.type.params[0].name)
        return lambda state: named
    slot = node.slot

    def read(state: State) -> Any:
        state.cost += 1  # not by `spend`: this is what takes the time
        if state.cost > state.limit:
            raise CostExceeded
        found = state.slots[slot]
        if found is UNSET:
            found = state.slots[slot] = state.load(slot)
        return found

    return read


def _select(node: Select) -> Run:
    if node.ident is not None:
        node.ident.type = node.type
        return _ident(node.ident)
    operand, name = plan(node.operand), node.field
    if node.test:
        return lambda state: has_field(operand(state), name)

    def select(state: State) -> Any:
        value = operand(state)
        state.cost += 1
        if state.cost > state.limit:
            raise CostExceeded
        if value.__class__ is dict:
            try:
                return value[name]
            except KeyError:
                raise EvaluationError(f"no such key: {name}") from None
        return field_of(value, name)

    return select


def _call(node: Call) -> Run:
    special = _SPECIAL.get(node.function)
    if special is not None:
        return special(node)
    return plan_call(node, tuple(plan(operand) for operand in node.operands))


def _and(node: Call) -> Run:
    return _logical(node, decisive=False)


def _or(node: Call) -> Run:
    return _logical(node, decisive=True)


def _logical(node: Call, *, decisive: bool) -> Run:
    """One side that is `decisive` decides, even where the other is an error."""
    left, right = (plan(operand) for operand in node.args)

    def logical(state: State) -> Any:
        first = attempt(left, state)
        if first is decisive:
            return decisive
        second = attempt(right, state)
        if second is decisive:
            return decisive
        for found in (first, second):
            if isinstance(found, EvaluationError):
                raise found
        if first.__class__ is bool and second.__class__ is bool:
            return not decisive
        raise EvaluationError("no such overload")

    return logical


def _ternary(node: Call) -> Run:
    condition, first, second = (plan(operand) for operand in node.args)

    def ternary(state: State) -> Any:
        chosen = condition(state)
        if chosen is True:
            return first(state)
        if chosen is False:
            return second(state)
        raise EvaluationError("no such overload")

    return ternary


def _access(run: Callable[[Any, Any], Any]) -> Callable[[Call], Run]:
    """`a[b]`, `a[?b]` and `a.?b`."""

    def made(node: Call) -> Run:
        operand, index = (plan(one) for one in node.args)

        def access(state: State) -> Any:
            value, wanted = operand(state), index(state)
            state.spend(1)
            return run(value, wanted)

        return access

    return made


def _otherwise(*, unwrap: bool) -> Callable[[Call], Run]:
    """`or` and `orValue`."""

    def made(node: Call) -> Run:
        left, right = (plan(one) for one in node.operands)

        def otherwise(state: State) -> Any:
            value = left(state)
            state.spend(1)
            if value is ABSENT:
                return right(state)
            if value.__class__ is not Present:
                raise EvaluationError("no such overload")
            return value.value if unwrap else value

        return otherwise

    return made


def _list(node: ListNode) -> Run:
    items = tuple(plan(item) for item in node.items)
    optional = node.optional

    def make(state: State) -> list[Any]:
        made = [item(state) for item in items]
        state.spend(costs.LIST_COST)
        if optional:
            return [
                item.value if place in optional else item
                for place, item in enumerate(made)
                if not (place in optional and item is ABSENT)
            ]
        return made

    return make


def _map(node: MapNode) -> Run:
    entries = tuple((plan(key), plan(value), optional) for key, value, optional in node.entries)

    def make(state: State) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value, optional in entries:
            name, found = key(state), value(state)
            if name.__class__ in (float, list, dict, type(None)):
                raise EvaluationError(f"unsupported key type: {type_name(name)}")
            if name in made:
                raise EvaluationError(f"Failed with repeated key [{shown(name)}]")
            if not optional:
                made[name] = found
            elif found is not ABSENT:
                made[name] = found.value
        state.spend(costs.MAP_COST)
        return made

    return make


def _append(node: Call) -> Run:
    """`@append`: the accumulator of a macro is its own, so that it may grow in place."""
    accu, item = (plan(one) for one in node.args)

    def append(state: State) -> Any:
        grown = accu(state)
        grown.append(item(state))
        state.spend(costs.LIST_COST + 1)
        return grown

    return append


def _insert(node: Call) -> Run:
    runs = tuple(plan(one) for one in node.args)

    def insert(state: State) -> Any:
        grown = runs[0](state)
        given = [run(state) for run in runs[1:]]
        for key, value in given[0].items() if len(given) == 1 else (given,):
            if key in grown:
                raise EvaluationError(f"insert failed: key {shown(key)} already exists")
            grown[key] = value
        state.spend(1)
        return grown

    return insert


def _fold(node: Fold) -> Run:
    return plan_fold(node, plan)


_SPECIAL: Final[dict[str, Callable[[Call], Run]]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _ternary,
    "_[_]": _access(item_of),
    "_[?_]": _access(optional_item),
    "_?._": _access(optional_field),
    "or": _otherwise(unwrap=False),
    "orValue": _otherwise(unwrap=True),
    "@append": _append,
    "@insert": _insert,
}
_PLANS: Final[dict[type, Callable[[Any], Run]]] = {
    Const: _const,
    Ident: _ident,
    Select: _select,
    Call: _call,
    ListNode: _list,
    MapNode: _map,
    Fold: _fold,
}
