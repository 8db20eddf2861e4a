"""Whether the x-kubernetes-validations of a schema may be: their texts, their types, and what they may cost."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.structural.expressions import Rule, celled, compile_rule
from minikube_py.meta.structural.fieldpath import field_path
from minikube_py.meta.structural.keywords import UNBOUNDED, Place
from minikube_py.meta.structural.nodes import Schema
from minikube_py.meta.violations import forbidden, invalid, not_supported, required

COST_LIMIT, TOTAL_LIMIT = 10_000_000, 100_000_000
"""What one expression, and all of a schema together, may cost at most."""
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and "
    "strings are declared)"
)


def check_texts(s: Schema, path: str) -> Iterable[Violation]:
    """The faults of the rules' texts."""
    for at, rule in enumerate(s["x-kubernetes-validations"]):
        yield from _texts(rule, s, f"{path}.x-kubernetes-validations[{at}]")


def _texts(rule: Mapping[str, Any], s: Schema, place: str) -> Iterable[Violation]:
    source, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not source:
        yield required(f"{place}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{place}.message", message, "message must be non-empty if specified")
    elif _breaks(message.strip()):
        yield invalid(f"{place}.message", message, "message must not contain line breaks")
    elif _breaks(source) and not message.strip():
        yield required(f"{place}.message", "message must be specified if rule contains line breaks")
    if rule.get("messageExpression") and not rule["messageExpression"].strip():
        yield required(f"{place}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in REASONS:
        yield not_supported(f"{place}.reason", rule["reason"], REASONS)
    if field := rule.get("fieldPath") or "":
        if not field.strip():
            yield invalid(f"{place}.fieldPath", field, "fieldPath must be non-empty if specified")
        if _breaks(field):
            yield invalid(f"{place}.fieldPath", field, "fieldPath must not contain line breaks")
        try:
            field_path(field, s)
        except ValueError:
            yield invalid(f"{place}.fieldPath", field, "fieldPath must be a valid path")


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


class RuleCheck:
    """Judges the rules of one schema, and adds up what they may cost."""

    def __init__(self) -> None:
        self.total = 0
        self._costs: list[tuple[int, str]] = []

    def __call__(self, s: Schema, place: Place) -> Iterable[Violation]:
        """The refusals of the rules of a node, which are compiled."""
        faults = list(check_texts(s, place.path))
        if faults or not place.rules:
            return faults
        type = celled(s, root=place.root)
        found: list[Violation] = []
        for at, raw in enumerate(s["x-kubernetes-validations"]):
            path = f"{place.path}.x-kubernetes-validations[{at}]"
            found += self._compiled(compile_rule(raw, s, type), place, path)
        return found

    def _compiled(self, rule: Rule, place: Place, path: str) -> Iterable[Violation]:
        raw = rule.raw
        if rule.program is not None:
            cost = _times(rule.program.max_cost, place.cardinality)
            yield from self._expensive(cost, f"{path}.rule", "estimated rule cost")
        if rule.error:
            yield invalid(f"{path}.rule", raw, rule.error)
        if rule.message_error:
            yield invalid(f"{path}.messageExpression", raw, rule.message_error)
        elif rule.message is not None:
            place_ = f"{path}.messageExpression"
            yield from self._expensive(rule.message.max_cost, place_, "estimated messageExpression cost")
        if rule.is_transition:
            if place.uncorrelated:
                told = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
                yield invalid(f"{path}.rule", raw["rule"], f"{told} {place.uncorrelated}")
        elif raw.get("optionalOldSelf") is not None and rule.program is not None:
            told = "may not be set if oldSelf is not used in rule"
            yield invalid(f"{path}.optionalOldSelf", raw["optionalOldSelf"], told)

    def _expensive(self, cost: int, path: str, name: str) -> Iterable[Violation]:
        if cost > COST_LIMIT:
            yield forbidden(path, over_budget(name, cost, COST_LIMIT))
        self.total += cost
        self._costs.append((cost, path))

    def check_total(self, path: str) -> Iterable[Violation]:
        """The refusal of a schema whose rules are too expensive together."""
        if self.total <= TOTAL_LIMIT:
            return
        told = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        for _, one in sorted(self._costs, reverse=True)[:4]:
            yield forbidden(one, told)
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield forbidden(path, over_budget(name, self.total, TOTAL_LIMIT))


def _times(cost: int, cardinality: int) -> int:
    return min(UNBOUNDED, cost * cardinality)


def over_budget(name: str, cost: int, limit: int) -> str:
    """How far a cost is above its limit, in upstream's words."""
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_ADVICE}"
