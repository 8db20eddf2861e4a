"""Type checking of a policy's expressions against the kinds that its rules name: warnings, no refusals. Pure.

Source: "Validating Admission Policy", type checking. Limits, as upstream: rules with wildcards are not checked,
nor more than ten kinds; params are dynamically typed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, Final

from minikube_py import collect
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.schema import Type, type_of

MAX_TYPES: Final = 10
Resolve = Callable[[str, str, str], Kind | None]
"""The kind of a resource: its group, version and plural."""


@cache
def _built_in() -> dict[tuple[str, str, str], Kind]:
    kinds: Sequence[Kind] = collect.values("minikube_py.kinds", Kind)
    return {(kind.group, kind.version, kind.plural): kind for kind in kinds}


def resolver(definitions: Sequence[Obj]) -> Resolve:
    """Resolves built-in resources, and those of the CustomResourceDefinitions."""
    custom = {}
    for definition in definitions:
        spec = definition.get("spec") or {}
        names, group = spec.get("names") or {}, spec.get("group", "")
        for version in spec.get("versions") or ():
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema:
                api_version = f"{group}/{version['name']}"
                kind = Kind(names.get("kind", ""), api_version, names.get("plural", ""), schema=schema)
                custom[group, version["name"], kind.plural] = kind
    return lambda group, version, plural: (
        _built_in().get((group, version, plural)) or custom.get((group, version, plural))
    )


def kinds_of(policy: Obj, resolve: Resolve) -> list[Kind]:
    """The kinds that the policy's rules name one by one."""
    found: dict[Kind, None] = {}
    match = (policy.get("spec") or {}).get("matchConstraints") or {}
    for rule in match.get("resourceRules") or ():
        named = [rule.get(field) or [] for field in ("apiGroups", "apiVersions", "resources")]
        if any("*" in value for values in named for value in values):
            continue
        for group, version, resource in product(*named):
            kind = resolve(group, version, resource) if "/" not in resource else None
            if kind is not None:
                found[kind] = None
    ordered = sorted(found, key=lambda kind: (kind.group, kind.version, kind.kind))
    return ordered[:MAX_TYPES]


def warnings(policy: Obj, resolve: Resolve) -> list[Obj]:
    """status.typeChecking.expressionWarnings."""
    kinds = kinds_of(policy, resolve)
    if not kinds:
        return []
    spec = policy.get("spec") or {}
    checks = [(kind, _names(spec, type_of(kind))) for kind in kinds]
    found = []
    for field, expression in _expressions(spec):
        faults = [_shown(kind, fault) for kind, names in checks if (fault := _fault(expression, names))]
        if faults:
            found.append({"fieldRef": field, "warning": "\n".join(faults)})
    return found


def _shown(kind: Kind, fault: str) -> str:
    return f"{kind.api_version}, Kind={kind.kind}: {fault}\n"


def _expressions(spec: Obj) -> Iterator[tuple[str, str]]:
    for index, validation in enumerate(spec.get("validations") or ()):
        yield f"spec.validations[{index}].expression", validation.get("expression") or ""
        if validation.get("messageExpression"):
            yield f"spec.validations[{index}].messageExpression", validation["messageExpression"]


def _names(spec: Obj, kind: Type) -> dict[str, Any]:
    """The variables of a policy where objects are of `kind`."""
    from minikube_py.meta import cel

    names: dict[str, Any] = {**cel.ADMISSION, "object": kind, "oldObject": kind}
    declared: dict[str, Any] = {}
    for variable in spec.get("variables") or ():
        seen = {**names, "variables": cel.object_of(dict(declared))}
        try:
            declared[variable["name"]] = cel.compile(variable["expression"], seen, returns="any").type
        except cel.CompileError:
            declared[variable["name"]] = cel.DYN
    return {**names, "variables": cel.object_of(declared)}


def _fault(expression: str, names: Mapping[str, Any]) -> str:
    from minikube_py.meta import cel

    try:
        cel.compile(expression, names, returns="any")
    except cel.CompileError as error:
        return error.message.removeprefix("compilation failed: ")
    return ""
