"""Calls of functions, ready to run: overloads are chosen by the classes of the arguments, and remembered."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from minikube_py.meta.cel.errors import CostExceeded, EvaluationError
from minikube_py.meta.cel.functions import Overload, accepts
from minikube_py.meta.cel.running import Run, State
from minikube_py.meta.cel.syntax import Call
from minikube_py.meta.cel.values import type_name

_OPERATORS: Final = frozenset(
    ["_+_", "_-_", "_*_", "_/_", "_%_", "-_", "!_", "_<_", "_<=_", "_>_", "_>=_", "@in"]
)


def plan_call(node: Call, operands: tuple[Run, ...]) -> Run:
    """The call of a function, ready to run."""
    overloads = tuple(node.overloads)
    name = node.function
    # The elements of a list decide which overload it is only where overloads ask for certain ones.
    by_element = any(p.params and p.params[0].kind not in ("dyn", "param") for o in overloads for p in o.params)
    known: dict[tuple[type, ...], Overload] = {}

    def choose(args: tuple[Any, ...]) -> Overload:
        chosen = _choose(name, overloads, args)
        if not by_element:
            known[tuple([arg.__class__ for arg in args])] = chosen
        return chosen

    if len(operands) == 2:
        return _binary(operands, known, choose, name)

    def call(state: State) -> Any:
        args = tuple([operand(state) for operand in operands])
        classes = tuple([arg.__class__ for arg in args])
        chosen = known.get(classes) or choose(args)
        try:
            result = chosen.run(*args)
        except (TypeError, AttributeError):
            raise _no_overload(name, args) from None
        state.spend(1 if chosen.cost is None else chosen.cost(args, result))
        return result

    return call


def _binary(
    operands: Sequence[Run],
    known: dict[tuple[type, ...], Overload],
    choose: Callable[[tuple[Any, ...]], Overload],
    name: str,
) -> Run:
    """A call of two operands, as most are, without the detours of the general one."""
    left, right = operands

    def call(state: State) -> Any:
        first, second = left(state), right(state)
        chosen = known.get((first.__class__, second.__class__)) or choose((first, second))
        try:
            result = chosen.run(first, second)
        except (TypeError, AttributeError):
            raise _no_overload(name, (first, second)) from None
        state.cost += 1 if chosen.cost is None else chosen.cost((first, second), result)
        if state.cost > state.limit:
            raise CostExceeded
        return result

    return call


def _choose(name: str, overloads: Sequence[Overload], args: Sequence[Any]) -> Overload:
    for one in overloads:
        if all(accepts(wanted, given) for wanted, given in zip(one.params, args, strict=True)):
            return one
    raise _no_overload(name, args)


def _no_overload(name: str, args: Sequence[Any]) -> EvaluationError:
    if name in _OPERATORS:
        return EvaluationError("no such overload")
    return EvaluationError(f"no such overload: {name}({', '.join(type_name(arg) for arg in args)})")
