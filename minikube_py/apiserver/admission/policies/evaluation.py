"""The verdict of one policy on one request, with one object as its parameters.

Expressions that take long run in a thread, so that the loop goes on; those that may ask the authorizer run
here, as what it reads changes on the loop. All expressions of a policy share one budget.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from minikube_py.apiserver.admission.policies.compiled import Expression, Note, Policy, Validation
from minikube_py.apiserver.admission.webhooks.conditions import judged
from minikube_py.meta import cel

MAX_MESSAGE: Final = 5 * 1024
MAX_NOTE: Final = 10 * 1024
OUT_OF_BUDGET: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


@dataclass(frozen=True, slots=True)
class Denial:
    """That a validation failed, and as which of `validations`."""

    message: str
    reason: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says: denials, which the binding's actions turn into something; `errors`, which refuse
    whatever the actions; and the audit event's annotations."""

    denials: tuple[Denial, ...] = ()
    errors: tuple[Denial, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


class Evaluation:
    """One policy on one request. `values` are the variables of admission."""

    def __init__(self, policy: Policy, values: Mapping[str, Any]) -> None:
        self._policy = policy
        self._expressions = policy.expressions
        self._base = values
        makers = {name: self._maker(name, variable) for name, variable in self._expressions.variables}
        self._values = {**values, "variables": cel.Lazy(makers)}
        self._left = cel.BUDGET

    async def verdict(self) -> Verdict:
        """What the policy says."""
        holds, faults = judged(self._expressions.conditions, self._base)
        if faults and holds:
            why = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
            return Verdict() if self._policy.ignores_failure else Verdict((Denial(why),))
        if not holds:
            return Verdict()
        denials = []
        for index, validation in enumerate(self._expressions.validations):
            denial = await self._validated(validation, index)
            if denial is not None:
                denials.append(denial)
        notes: list[Any] = []
        errors: list[Any] = []
        for note in self._expressions.notes:
            (errors if (made := await self._noted(note)).__class__ is Denial else notes).append(made)
        return Verdict(tuple(denials), tuple(errors), tuple(one for one in notes if one))

    def _maker(self, name: str, expression: Expression) -> Callable[[], Any]:
        def make() -> Any:
            if expression.program is None:
                raise cel.EvaluationError(f'composited variable "{name}" fails to compile: {expression.fault}')
            try:
                return expression.program.value(self._values, self._limit)
            except cel.CostExceeded:
                raise
            except cel.EvaluationError as error:
                told = f'composited variable "{name}" fails to evaluate: {error.message}'
                raise cel.EvaluationError(told) from None
            finally:
                self._left -= expression.program.cost

        return make

    @property
    def _limit(self) -> int:
        return max(0, min(cel.CALL_LIMIT, self._left))

    async def _value(self, expression: Expression) -> Any:
        """What an expression gives. Errors: EvaluationError."""
        program = expression.program
        if program is None:
            raise cel.EvaluationError(expression.fault)
        if self._left <= 0:
            raise cel.EvaluationError(OUT_OF_BUDGET)
        try:
            if self._asks(program):
                return program.evaluate(self._values, self._limit)
            return await program.evaluate_aside(self._values, self._limit)
        finally:
            self._left -= program.cost

    def _asks(self, program: "cel.Program") -> bool:
        """Whether it may ask the authorizer, by itself or by a variable."""
        programs = [program]
        if "variables" in program.references:
            programs += [one.program for _, one in self._expressions.variables if one.program is not None]
        return any(name.startswith("authorizer") for one in programs for name in one.references)

    async def _validated(self, validation: Validation, index: int) -> Denial | None:
        expression = validation.expression
        try:
            holds = await self._value(expression)
        except cel.EvaluationError as error:
            if self._policy.ignores_failure:
                return None
            return Denial(_failed(expression, error), validation.reason, index)
        if holds is True:
            return None
        told = await self._message(validation)
        return Denial(told, validation.reason, index)

    async def _message(self, validation: Validation) -> str:
        told = ""
        if validation.message_expression is not None:
            try:
                told = str(await self._value(validation.message_expression)).strip()
            except cel.EvaluationError:
                told = ""
            if len(told) > MAX_MESSAGE or "\n" in told:
                told = ""
        return told or validation.message or f"failed expression: {validation.expression.text.strip()}"

    async def _noted(self, note: Note) -> Any:
        """The annotation as (key, value), None for none, or the Denial that its failure is."""
        try:
            value = await self._value(note.expression)
        except cel.EvaluationError as error:
            return None if self._policy.ignores_failure else Denial(_failed(note.expression, error))
        text = value.strip() if isinstance(value, str) else ""
        return (note.key, text[:MAX_NOTE]) if text else None


def _failed(expression: Expression, error: "cel.EvaluationError") -> str:
    if expression.program is None or error.message == OUT_OF_BUDGET:
        return error.message
    return f"expression '{expression.text}' resulted in error: {error.message}"
