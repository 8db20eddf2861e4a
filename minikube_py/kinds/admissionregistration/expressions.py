"""Validation of the expressions (CEL) of webhooks and policies: each must compile to what it is used for."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta import cel
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, invalid, required, too_many

MAX_MATCH_CONDITIONS = 64
Names = Mapping[str, Any]
"""The variables of an expression, and their types as `meta.cel` has them."""


def compiled(
    expression: str, path: str, names: Names, returns: str | tuple[str, ...] = "bool"
) -> tuple[Any, Violation | None]:
    """The program of an expression, or the violation that says why it has none."""
    try:
        return cel.compile(expression, names, returns=returns), None
    except cel.CompileError as error:
        return None, invalid(path, expression, error.message)


def validate_match_conditions(
    conditions: list[Obj], path: str, names: Names | None = None
) -> Iterable[Violation]:
    """The refusals of matchConditions; `names` are those of webhooks unless given."""

    known: Names = cel.MATCH_CONDITIONS if names is None else names
    if len(conditions) > MAX_MATCH_CONDITIONS:
        yield too_many(path, len(conditions), MAX_MATCH_CONDITIONS)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        place = f"{path}[{index}]"
        name, expression = condition.get("name") or "", (condition.get("expression") or "").strip()
        if not expression:
            yield required(f"{place}.expression")
        elif (fault := compiled(expression, f"{place}.expression", known)[1]) is not None:
            yield fault
        if not name:
            yield required(f"{place}.name")
            continue
        for reason in qualified_name(name):
            yield invalid(f"{place}.name", name, reason)
        if name in seen:
            yield duplicate(f"{place}.name", name)
        seen.add(name)
