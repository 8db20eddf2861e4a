"""Programs: expressions that have been compiled, and how they are evaluated."""

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from minikube_py.aio.haste import SOON, TakesLong, left, spend
from minikube_py.meta.cel import estimates
from minikube_py.meta.cel.checker import Checker
from minikube_py.meta.cel.errors import CostExceeded, EvaluationError, Issue, WrongResult, compile_error
from minikube_py.meta.cel.library import FUNCTIONS
from minikube_py.meta.cel.parser import MAX_DEPTH, parse
from minikube_py.meta.cel.planner import plan
from minikube_py.meta.cel.running import MISSING, Run, State
from minikube_py.meta.cel.schemas import Declared, cel_type, converter
from minikube_py.meta.cel.syntax import Node
from minikube_py.meta.cel.types import CelType
from minikube_py.meta.cel.values import exported

CALL_LIMIT: Final = 1_000_000
"""What one evaluation may cost."""
BUDGET: Final = 10_000_000
"""What all validations of one object, or all of one policy for one request, may cost."""
MATCH_BUDGET: Final = 2_500_000
"""What all match conditions may cost for one request."""
CALLING: Final = 15
"""What an evaluation costs besides what is counted."""

Variables = Mapping[str, Declared]
"""Variables by name, with their types."""
Returns = str | tuple[str, ...]


class Program:
    """A compiled expression. `type` is what it gives, `references` the variables that it uses, `cost` what its
    last evaluation cost."""

    def __init__(self, expression: str, tree: Node, checker: Checker, variables: Mapping[str, CelType]) -> None:
        self.expression = expression
        self.type = tree.type
        self.references = frozenset(checker.references)
        self.cost = 0
        self._tree = tree
        self._names = tuple(variables)
        self._converters = tuple(map(converter, variables.values()))
        self._slots = checker.slots
        self._run: Run = plan(tree)

    @cached_property
    def max_cost(self) -> int:
        """The estimate of what an evaluation may cost at most."""
        return estimates.greatest_cost(self._tree)

    def evaluate(self, values: Mapping[str, Any], limit: int = CALL_LIMIT) -> Any:
        """What the expression gives, as JSON. Errors: EvaluationError."""
        return exported(self.value(values, limit))

    async def evaluate_aside(self, values: Mapping[str, Any], limit: int = CALL_LIMIT) -> Any:
        """As `evaluate`, but what takes long runs in a thread, so that the event loop goes on. Not for values
        that may change while it waits. Errors: EvaluationError."""
        try:
            return self.evaluate(values, min(SOON, limit))
        except CostExceeded:
            if limit <= SOON:
                raise
            return await asyncio.to_thread(self.evaluate, values, limit)

    def evaluate_in_haste(self, values: Mapping[str, Any]) -> Any:
        """As `evaluate`, as a step of work that may be in haste. Errors: EvaluationError, TakesLong."""
        limit = left(CALL_LIMIT)
        try:
            given = self.evaluate(values, limit)
        except CostExceeded:
            if limit < CALL_LIMIT:
                raise TakesLong from None
            raise
        spend(self.cost + CALLING)
        return given

    def value(self, values: Mapping[str, Any], limit: int = CALL_LIMIT) -> Any:
        """What the expression gives, as another expression takes it (a policy's variables).
        Errors: EvaluationError."""

        def load(slot: int) -> Any:
            name = self._names[slot]
            found = values.get(name, MISSING)
            if found is MISSING:
                raise EvaluationError(f"no such attribute(s): {name}")
            if callable(found):
                found = found()
            convert = self._converters[slot]
            return found if convert is None or found is None else convert(found)

        state = State(self._slots, min(limit, CALL_LIMIT), load)
        try:
            return self._run(state)
        except RecursionError:
            raise EvaluationError("expression is nested too deeply") from None
        finally:
            self.cost = state.cost


def compile(expression: str, variables: Variables, *, returns: Returns = "bool") -> Program:
    """The expression, checked and ready. Errors: CompileError, WrongResult."""
    declared = {name: cel_type(kind) for name, kind in variables.items()}
    tree = parse(expression)
    checker = Checker(expression, declared, FUNCTIONS)
    try:
        tree.type = checker.check(tree)
        made = Program(expression, tree, checker, declared)
    except RecursionError:
        issue = Issue(0, f"expression recursion limit exceeded: {MAX_DEPTH}")
        raise compile_error(expression, [issue]) from None
    wanted = (returns,) if isinstance(returns, str) else returns
    if wanted != ("any",) and str(made.type) not in wanted:
        one = f"must evaluate to {wanted[0]}"
        raise WrongResult(one if len(wanted) == 1 else f"must evaluate to one of [{' '.join(wanted)}]")
    return made
