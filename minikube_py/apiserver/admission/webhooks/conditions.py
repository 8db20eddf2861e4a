"""matchConditions: CEL expressions that must all be true for a webhook or a policy to be asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minikube_py.meta import cel
from minikube_py.meta.objects import Obj


@dataclass(frozen=True, slots=True)
class Condition:
    """One of `matchConditions`; `fault` says why it could not be compiled."""

    expression: str
    program: "cel.Program | None"
    fault: str = ""


def compiled(said: Obj) -> Condition:
    """One of a webhook's `matchConditions`, ready to be evaluated."""
    expression = said.get("expression") or ""
    try:
        return Condition(expression, cel.compile(expression, cel.MATCH_CONDITIONS))
    except cel.CompileError as error:
        return Condition(expression, None, error.message)


def judged(conditions: Iterable[Condition], values: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether no condition is false, and then what went wrong with some of them."""
    faults: list[str] = []
    budget = cel.MATCH_BUDGET
    for condition in conditions:
        if condition.program is None:
            faults.append(condition.fault)
            continue
        try:
            if condition.program.evaluate(values, limit=budget) is False:
                return False, []
        except cel.EvaluationError as error:
            faults.append(f"expression '{condition.expression}' resulted in error: {error.message}")
        budget -= condition.program.cost
    return True, faults
