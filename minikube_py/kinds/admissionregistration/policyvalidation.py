"""Validation of ValidatingAdmissionPolicies and of their bindings."""

import re
from collections.abc import Iterable
from typing import Any

from minikube_py.kinds.admissionregistration.expressions import compiled, validate_match_conditions
from minikube_py.kinds.admissionregistration.matching import FAILURE_POLICIES, validate_match_resources
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.meta import cel
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1035_label, dns1123_subdomain, path_segment_name, qualified_name
from minikube_py.meta.objects import Obj, name_of
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_FOUND_ACTIONS = ("Allow", "Deny")
_MAX_AUDIT_ANNOTATIONS = 20
_MAX_AUDIT_EXPRESSION = 5 * 1024
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)
_EXCLUSIVE = "name and selector are mutually exclusive"
_NOTHING = "validations or auditAnnotations must contain at least one item"


def validate_policy(policy: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a ValidatingAdmissionPolicy."""
    spec = policy.get("spec") or {}
    if old is not None and spec == (old.get("spec") or {}):
        return
    yield from _choice(spec.get("failurePolicy"), "spec.failurePolicy", FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        yield from _param_kind(spec["paramKind"], "spec.paramKind")
    match = spec.get("matchConstraints")
    if match is None:
        yield required("spec.matchConstraints")
    else:
        yield from validate_match_resources(match, "spec.matchConstraints")
        if not match.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
    yield from _expressions(policy, spec)


def _choice(value: str | None, path: str, allowed: tuple[str, ...]) -> Iterable[Violation]:
    if not value:
        yield required(path)
    elif value not in allowed:
        yield not_supported(path, value, allowed)


def _param_kind(kind: Obj, path: str) -> Iterable[Violation]:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not version:
        yield required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        yield invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    if not name:
        yield required(f"{path}.kind")
    elif faults := dns1035_label(name.lower()):
        told = "may have mixed case, but should otherwise match: " + ",".join(faults)
        yield invalid(f"{path}.kind", name, told)


def _expressions(policy: Obj, spec: Obj) -> Iterable[Violation]:

    hidden = () if spec.get("paramKind") is not None else ("params",)
    names = {name: type for name, type in cel.ADMISSION.items() if name not in hidden}
    if conditions := spec.get("matchConditions"):
        yield from validate_match_conditions(conditions, "spec.matchConditions", names)
    composed: dict[str, Any] = {}
    for index, variable in enumerate(spec.get("variables") or ()):
        yield from _variable(variable, f"spec.variables[{index}]", names, composed)
    names["variables"] = cel.object_of(composed)
    validations, notes = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not notes:
        yield required("spec.validations", _NOTHING)
        yield required("spec.auditAnnotations", _NOTHING)
    for index, validation in enumerate(validations):
        yield from _validation(validation, f"spec.validations[{index}]", names)
    if len(notes) > _MAX_AUDIT_ANNOTATIONS:
        told = f"must not have more than {_MAX_AUDIT_ANNOTATIONS} auditAnnotations"
        yield invalid("spec.auditAnnotations", notes, told)
    for index, note in enumerate(notes):
        path = f"spec.auditAnnotations[{index}]"
        yield from _note(note, path, name_of(policy), names)
        if note.get("key") in [other.get("key") for other in notes[:index]]:
            yield duplicate(f"{path}.key", note.get("key"))


def _variable(variable: Obj, path: str, names: dict[str, Any], composed: dict[str, Any]) -> Iterable[Violation]:
    """The refusals of a variable, which sees those before it; notes its type in `composed`."""

    name, expression = variable.get("name") or "", (variable.get("expression") or "").strip()
    if not name:
        yield required(f"{path}.name", "name is not specified")
    elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        yield invalid(f"{path}.name", name, "name is not a valid CEL identifier")
    if not expression:
        yield required(f"{path}.expression", "expression is not specified")
        return
    seen = names | {"variables": cel.object_of(dict(composed))}
    program, fault = compiled(variable["expression"], f"{path}.expression", seen, "any")
    if fault is not None:
        yield fault
    composed[name] = program.type if program is not None else cel.DYN


def _validation(validation: Obj, path: str, names: dict[str, Any]) -> Iterable[Violation]:
    expression, message = validation.get("expression") or "", validation.get("message") or ""
    if not expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    elif (fault := compiled(expression, f"{path}.expression", names)[1]) is not None:
        yield fault
    told = validation.get("messageExpression") or ""
    if told and not told.strip():
        yield invalid(f"{path}.messageExpression", told, "must be non-empty if specified")
    elif told:
        seen = {name: type for name, type in names.items() if not name.startswith("authorizer")}
        if (fault := compiled(told, f"{path}.messageExpression", seen, "string")[1]) is not None:
            yield fault
    if message and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in expression.strip() and not message.strip():
        yield required(f"{path}.message", "message must be specified if expression contains line breaks")
    if validation.get("reason") is not None and validation["reason"] not in _REASONS:
        yield not_supported(f"{path}.reason", validation["reason"], _REASONS)


def _note(note: Obj, path: str, policy: str, names: dict[str, Any]) -> Iterable[Violation]:
    key, expression = note.get("key") or "", note.get("valueExpression") or ""
    if not policy:
        yield invalid(f"{path}.key", key, "requires metadata.name be non-empty")
    for reason in qualified_name(f"{policy}/{key}") if policy else ():
        yield invalid(f"{path}.key", key, reason)
    if not expression.strip():
        yield required(f"{path}.valueExpression", "valueExpression is not specified")
    elif len(expression.strip()) > _MAX_AUDIT_EXPRESSION:
        yield required(f"{path}.valueExpression", "must not exceed 5kb in length")
    else:
        fault = compiled(expression, f"{path}.valueExpression", names, ("string", "null_type"))[1]
        if fault is not None:
            yield fault


def validate_binding(binding: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a ValidatingAdmissionPolicyBinding."""
    spec = binding.get("spec") or {}
    name = spec.get("policyName") or ""
    if not name:
        yield required("spec.policyName")
    for reason in dns1123_subdomain(name) if name else ():
        yield invalid("spec.policyName", name, reason)
    if spec.get("paramRef") is not None:
        yield from _param_ref(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        yield from validate_match_resources(spec["matchResources"], "spec.matchResouces")  # as it is upstream
    yield from _actions(spec.get("validationActions") or [], "spec.validationActions")


def _param_ref(ref: Obj, path: str) -> Iterable[Violation]:
    name, selector = ref.get("name") or "", ref.get("selector")
    for reason in path_segment_name(name):
        yield invalid(f"{path}.name", name, reason)
    if name and selector is not None:
        yield forbidden(f"{path}.name", _EXCLUSIVE)
        yield forbidden(f"{path}.selector", _EXCLUSIVE)
    if selector is not None:
        yield from validate_label_selector(selector, f"{path}.selector")
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    yield from _choice(
        ref.get("parameterNotFoundAction"), f"{path}.parameterNotFoundAction", _NOT_FOUND_ACTIONS
    )


def _actions(actions: list[str], path: str) -> Iterable[Violation]:
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        told = "must not contain both Deny and Warn (repeating the same validation failure information in the"
        yield invalid(path, actions, f"{told} API response and headers serves no purpose)")
    if not actions:
        yield required(path)
