"""x-kubernetes-validations: the CEL rules of a schema, compiled when a value first reaches them, and what they
refuse. Worded as apiextensions-apiserver (its documentation: "Validation rules").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minikube_py.aio.haste import spend
from minikube_py.meta import cel
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.patch.merge import identical
from minikube_py.meta.schema import Type
from minikube_py.meta.structural.faults import ROOT, key_of, old_items
from minikube_py.meta.structural.fieldpath import field_path
from minikube_py.meta.structural.nodes import Schema
from minikube_py.meta.violations import duplicate, forbidden, invalid, required

SELF, OLD_SELF = "self", "oldSelf"
COMPILING = 3_000
"""What it costs to compile a rule, in the units of CEL's costs."""
MAX_MESSAGE = 5 * 1024
"""Bytes of a message that an expression may give."""
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_TEXT: Schema = {"type": "string"}
_IDENTITY = {
    "apiVersion": _TEXT,
    "kind": _TEXT,
    "metadata": {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}},
}
Near = tuple[Any, Any] | None
"""The nearest value that has an old state, and that state."""


def celled(schema: Schema, *, root: bool = False) -> Type:
    """The type of `self` in the rules of a node; of an object as a whole, its identity can be read."""
    if not root and not schema.get("x-kubernetes-embedded-resource"):
        return Type(schema, schema, custom=True)
    shown = {key: value for key, value in schema.items() if key != "x-kubernetes-embedded-resource"}
    given = schema.get("properties") or {}
    shown["properties"] = {**given, **{name: {**one, **given.get(name, {})} for name, one in _IDENTITY.items()}}
    shown["properties"]["metadata"] = _IDENTITY["metadata"]
    return Type(shown, shown, custom=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. `error` is why it does not compile."""

    raw: Mapping[str, Any]
    program: "cel.Program | None" = None
    message: "cel.Program | None" = None
    error: str = ""
    message_error: str = ""
    field: str = ""

    @property
    def is_transition(self) -> bool:
        """Whether it compares with the old state."""
        return self.program is not None and OLD_SELF in self.program.references

    @property
    def told(self) -> str:
        """What stands for the rule in messages."""
        return (self.raw.get("message") or self.raw.get("rule") or "").strip()


def compile_rule(raw: Mapping[str, Any], schema: Schema, type: Type) -> Rule:
    """A rule of a node of that schema and type."""
    source, told = raw.get("rule") or "", raw.get("messageExpression") or ""
    if not source.strip():
        return Rule(raw)
    spend(COMPILING)
    old = cel.optional_of(type) if raw.get("optionalOldSelf") else type
    variables = {SELF: type, OLD_SELF: old}
    program, message, errors = None, None, ["", ""]
    try:
        program = cel.compile(source, variables)
    except cel.WrongResult:
        errors[0] = "cel expression must evaluate to a bool"
    except cel.CompileError as error:
        errors[0] = error.message
    try:
        message = cel.compile(told, variables, returns="string") if told.strip() else None
    except cel.WrongResult:
        errors[1] = "messageExpression must evaluate to a string"
    except cel.CompileError as error:
        errors[1] = f"messageExpression {error.message}"
    field = ""
    if raw.get("fieldPath"):
        try:
            field = field_path(raw["fieldPath"].strip(), schema).text
        except ValueError as error:
            errors[0] = errors[0] or str(error)
    return Rule(raw, program, message, errors[0], errors[1], field)


class Exhausted(Exception):
    """No further rules are run."""


@dataclass(slots=True)
class Walk:
    """One validation: what was found, and what of the cost budget is left."""

    found: list[Violation]
    budget: int = field(default_factory=lambda: cel.BUDGET)


Visit = Callable[[Walk, Any, Any, Near, str], None]
"""Judges a value: the walk, the value, its old state (None for none), the nearest with one, its path."""


def compile_rules(schema: Schema, *, root: bool = False) -> Visit | None:
    """What judges a value by every rule of a schema; None where it has none."""
    visits: list[Visit] = []
    if schema.get("x-kubernetes-validations"):
        visits.append(_of_node(schema, root))
    visits += filter(None, (_nested(one, schema, root) for one in schema.get("allOf") or ()))
    below = {
        name: one for name, child in (schema.get("properties") or {}).items() if (one := compile_rules(child))
    }
    if below:
        visits.append(_of_properties(schema, below))
    items, additional = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, Mapping) and (one := compile_rules(items)):
        visits.append(_of_items(schema, one))
    if isinstance(additional, Mapping) and (one := compile_rules(additional)):
        visits.append(_of_values(schema, one))
    return _in_turn(visits) if visits else None


def _in_turn(visits: Sequence[Visit]) -> Visit:
    if len(visits) == 1:
        return visits[0]

    def visit(walk: Walk, value: Any, old: Any, near: Near, path: str) -> None:
        for one in visits:
            one(walk, value, old, near, path)

    return visit


def _nested(validation: Schema, schema: Schema, root: bool) -> Visit | None:
    """The rules in an allOf, which are judged with the types of the node that it stands in."""
    if not validation.get("x-kubernetes-validations"):
        return None
    return _of_node({**schema, "x-kubernetes-validations": validation["x-kubernetes-validations"]}, root)


def _correlates(schema: Schema) -> bool:
    return schema.get("x-kubernetes-map-type") != "atomic"


def _of_properties(schema: Schema, below: Mapping[str, Visit]) -> Visit:
    correlates = _correlates(schema)

    def visit(walk: Walk, value: Any, old: Any, near: Near, path: str) -> None:
        if value.__class__ is not dict:
            return
        before = old if correlates and old.__class__ is dict else {}
        for name, one in below.items():
            if (item := value.get(name)) is not None:
                was = before.get(name)
                closer = near if was is None else (item, was)
                one(walk, item, was, closer, f"{path}.{name}" if path else name)

    return visit


def _of_values(schema: Schema, below: Visit) -> Visit:
    correlates = _correlates(schema)

    def visit(walk: Walk, value: Any, old: Any, near: Near, path: str) -> None:
        if value.__class__ is not dict:
            return
        before = old if correlates and old.__class__ is dict else {}
        for name, item in value.items():
            if item is not None:
                was = before.get(name)
                below(walk, item, was, near if was is None else (item, was), f"{path}[{name}]")

    return visit


def _of_items(schema: Schema, below: Visit) -> Visit:
    def visit(walk: Walk, value: Any, old: Any, near: Near, path: str) -> None:
        if value.__class__ is not list:
            return
        before = old_items(schema, old)
        for at, item in enumerate(value):
            if item is not None:
                was = before.get(key_of(schema, item)) if before else None
                below(walk, item, was, near if was is None else (item, was), f"{path}[{at}]")

    return visit


def _of_node(schema: Schema, root: bool) -> Visit:
    rules: list[Rule] = []

    def visit(walk: Walk, value: Any, old: Any, near: Near, path: str) -> None:
        if not rules:
            type = celled(schema, root=root)
            rules[:] = [compile_rule(raw, schema, type) for raw in schema["x-kubernetes-validations"]]
        for rule in rules:
            fault = _judge(rule, schema, walk, value, old, path)
            if fault and (rule.is_transition or near is None or not identical(*near)):
                walk.found.append(fault)

    return visit


def _judge(rule: Rule, schema: Schema, walk: Walk, value: Any, old: Any, path: str) -> Violation | None:
    """What a rule refuses, or None. Errors: Exhausted, once it is noted in the walk."""
    type, place = schema.get("type") or "", path or ROOT
    if rule.error:
        return invalid(place, type, f"rule compile error: {rule.error}")
    optional = bool(rule.raw.get("optionalOldSelf"))
    if rule.program is None or (rule.is_transition and old is None and not optional):
        return None
    values: Obj = {SELF: value}
    if rule.is_transition or (rule.message is not None and OLD_SELF in rule.message.references):
        values[OLD_SELF] = (cel.ABSENT if old is None else cel.Present(old)) if optional else old
    try:
        passed = rule.program.evaluate_in_haste(values)
    except cel.CostExceeded as error:
        told = "no further validation rules will be run due to call cost exceeds limit for rule"
        walk.found.append(invalid(place, type, f"'{error.message}': {told}: {rule.told}"))
        raise Exhausted from error
    except cel.EvaluationError as error:
        _pay(walk, rule.program, place, type)
        if error.message.startswith("no such overload"):
            told = "call arguments did not match a supported operator, function or macro signature for rule"
            return invalid(place, type, f"'{error.message}': {told}: {rule.told}")
        return invalid(place, type, f"{error.message} evaluating rule: {rule.told}")
    _pay(walk, rule.program, place, type)
    if passed is True:
        return None
    return _refusal(rule, type, f"{place}.{rule.field}" if rule.field else place, _message(rule, values), path)


def _pay(walk: Walk, program: "cel.Program", place: str, type: str) -> None:
    walk.budget -= program.cost
    if walk.budget < 0:
        walk.found.append(invalid(place, type, _OUT_OF_BUDGET))
        raise Exhausted


def _message(rule: Rule, values: Obj) -> str:
    if rule.message is not None:
        try:
            told = str(rule.message.evaluate_in_haste(values)).strip()
        except cel.EvaluationError:
            told = ""
        if told and "\n" not in told and len(told.encode()) <= MAX_MESSAGE:
            return told
    message = rule.raw.get("message") or ""
    return message.strip() if message else f"failed rule: {rule.told}"


def _refusal(rule: Rule, type: str, place: str, message: str, path: str) -> Violation:
    place = place if path else place.removeprefix(f"{ROOT}.")
    reason = rule.raw.get("reason") or "FieldValueInvalid"
    if reason == "FieldValueForbidden":
        return forbidden(place, message)
    if reason == "FieldValueRequired":
        return required(place, message)
    return duplicate(place, type) if reason == "FieldValueDuplicate" else invalid(place, type, message)


def judge(visit: Visit, value: Any, old: Any) -> list[Violation]:
    """Everything that the rules refuse of a whole object."""
    walk = Walk([])
    try:
        visit(walk, value, old, None if old is None else (value, old), "")
    except Exhausted:
        return walk.found
    return walk.found
