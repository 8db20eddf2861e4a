"""Policies and bindings made ready: matched by criteria at once, their expressions compiled at the first use.

An expression that does not compile (stored by another version, say) fails each evaluation, as the policy's
failurePolicy has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minikube_py.apiserver.admission import matching
from minikube_py.apiserver.admission.webhooks.conditions import Condition
from minikube_py.meta import cel
from minikube_py.meta.objects import Obj, name_of

Declared = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression and its program; `fault` says why there is none."""

    text: str
    program: "cel.Program | None"
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """One of `validations`."""

    expression: Expression
    message: str
    message_expression: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """One of `auditAnnotations`."""

    key: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Expressions:
    """All expressions of a policy."""

    conditions: tuple[Condition, ...]
    variables: tuple[tuple[str, Expression], ...]
    validations: tuple[Validation, ...]
    notes: tuple[Note, ...]


class Policy:
    """A ValidatingAdmissionPolicy."""

    def __init__(self, policy: Obj) -> None:
        self.name = name_of(policy)
        self._spec = policy.get("spec") or {}
        self.criteria = matching.criteria(self._spec.get("matchConstraints") or {}, rules="resourceRules")
        self.ignores_failure = self._spec.get("failurePolicy") == "Ignore"
        self.param_kind: Obj | None = self._spec.get("paramKind")

    @cached_property
    def expressions(self) -> Expressions:
        """The policy's expressions, compiled."""
        spec = self._spec
        names = dict(cel.ADMISSION)
        if self.param_kind is None:
            del names["params"]
        variables, declared = _variables(spec, names)
        seen = {**names, "variables": cel.object_of(declared)}
        return Expressions(
            conditions=tuple(_condition(said, names) for said in spec.get("matchConditions") or ()),
            variables=tuple(variables),
            validations=tuple(_validation(said, seen) for said in spec.get("validations") or ()),
            notes=tuple(
                Note(said["key"], _expression(said["valueExpression"], seen, ("string", "null_type")))
                for said in spec.get("auditAnnotations") or ()
            ),
        )


class Binding:
    """A ValidatingAdmissionPolicyBinding."""

    def __init__(self, binding: Obj) -> None:
        spec = binding.get("spec") or {}
        self.name = name_of(binding)
        self.policy: str = spec.get("policyName") or ""
        self.actions: tuple[str, ...] = tuple(spec.get("validationActions") or ())
        self.param_ref: Obj | None = spec.get("paramRef")
        match = spec.get("matchResources")
        self.criteria = match and matching.criteria(match, rules="resourceRules", everything=True)


def _expression(text: str, names: Declared, returns: str | tuple[str, ...]) -> Expression:
    try:
        return Expression(text, cel.compile(text, names, returns=returns))
    except cel.CompileError as error:
        return Expression(text, None, error.message)


def _condition(said: Obj, names: Declared) -> Condition:
    made = _expression(said.get("expression") or "", names, "bool")
    return Condition(made.text, made.program, made.fault)


def _variables(spec: Obj, names: Declared) -> tuple[list[tuple[str, Expression]], dict[str, Any]]:
    """The variables, each of which sees those before it, and the types of all."""
    made: list[tuple[str, Expression]] = []
    declared: dict[str, Any] = {}
    for said in spec.get("variables") or ():
        seen = {**names, "variables": cel.object_of(dict(declared))}
        expression = _expression(said["expression"], seen, "any")
        made.append((said["name"], expression))
        declared[said["name"]] = expression.program.type if expression.program is not None else cel.DYN
    return made, declared


def _validation(said: Obj, names: Declared) -> Validation:
    told = said.get("messageExpression")
    seen = {name: kind for name, kind in names.items() if not name.startswith("authorizer")}
    return Validation(
        _expression(said["expression"], names, "bool"),
        (said.get("message") or "").strip(),
        _expression(told, seen, "string") if told else None,
        said.get("reason") or "",
    )
