"""Macros over lists and maps, ready to run.

`all` and `exists` stop at the first element that decides, and an error counts only where none does; the other
macros fail with the first error.
"""

from collections.abc import Callable, Iterable
from typing import Any

from minikube_py.meta.cel.errors import CostExceeded, EvaluationError
from minikube_py.meta.cel.running import Run, State
from minikube_py.meta.cel.syntax import Call, Const, Fold, Node
from minikube_py.meta.cel.values import LISTS, MAPS

Plan = Callable[[Node], Run]


def plan_fold(node: Fold, plan: Plan) -> Run:
    """The fold, ready to run."""
    if isinstance(node.condition, Call) and isinstance(node.step, Call):
        return _quantifier(node, node.step, plan)
    return _collector(node, plan)


def _pairs(over: Any, *, two: bool) -> Iterable[Any]:
    """What the loop's variables are, in each round."""
    kind = over.__class__
    if kind in LISTS:
        return enumerate(over) if two else over
    if kind in MAPS:
        return [(key, over.get(key)) for key in over] if two else over
    raise EvaluationError("no such overload")


def _quantifier(node: Fold, step: Call, plan: Plan) -> Run:
    over, predicate = plan(node.over), plan(step.args[1])
    first, second, _ = node.slots
    two = len(node.variables) == 2
    decisive = step.function == "_||_"
    round_cost = 4 if decisive else 3  # the condition, and the accumulator in it and in the step

    def quantify(state: State) -> Any:
        slots, accu = state.slots, not decisive
        fault: EvaluationError | None = None
        for item in _pairs(over(state), two=two):
            if two:
                slots[first], slots[second] = item
            else:
                slots[first] = item
            state.cost += round_cost
            if state.cost > state.limit:
                raise CostExceeded
            try:
                found = predicate(state)
            except CostExceeded:
                raise
            except EvaluationError as error:
                fault = fault or error
                continue
            if found is decisive:
                accu, fault = decisive, None
                break
            if found.__class__ is not bool:
                fault = fault or EvaluationError("no such overload")
        state.spend(1)
        if fault is not None:
            raise fault
        return accu

    return quantify


def _collector(node: Fold, plan: Plan) -> Run:
    over, init, step, result = (plan(part) for part in (node.over, node.init, node.step, node.result))
    first, second, accu = node.slots
    two = len(node.variables) == 2
    runs = not (isinstance(node.condition, Const) and node.condition.value is False)

    def collect(state: State) -> Any:
        slots = state.slots
        elements = _pairs(over(state), two=two) if runs else ()
        slots[accu] = init(state)
        for item in elements:
            if two:
                slots[first], slots[second] = item
            else:
                slots[first] = item
            slots[accu] = step(state)
        return result(state)

    return collect
