"""LimitRange: bounds and defaults of what pods, containers and claims of a namespace may ask for."""

from collections.abc import Iterable

from minikube_py.kinds.columns import DEFAULT_COLUMNS
from minikube_py.kinds.resourcenames import (
    may_overcommit,
    validate_container_name,
    validate_name,
    value_of,
)
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import duplicate, forbidden, invalid, required

_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_ORDER = (
    ("min", "max", "min", "min", "min value {low} is greater than max value {high}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {low} is greater than default request value {high}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {low} is greater than max value {high}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {low} is greater than default limit value {high}",
    ),
    ("min", "default", "default", "min", "min value {low} is greater than default value {high}"),
    ("default", "max", "default", "max", "default value {low} is greater than max value {high}"),
)
"""What may not be more than what: the fields, the field that is blamed, whose value is shown, and the words."""


def default(limits: Obj) -> None:
    """What a container's limits and requests default to, where the range says only a part of it."""
    for item in dig(limits, "spec.limits", ()):
        if item.get("type") != "Container":
            continue
        limit = {**(item.get("max") or {}), **(item.get("default") or {})}
        request = {**limit, **(item.get("defaultRequest") or {})}
        request |= {k: v for k, v in (item.get("min") or {}).items() if k not in request}
        for field, amounts in (("default", limit), ("defaultRequest", request)):
            if amounts:
                item[field] = amounts


def validate(limits: Obj, old: Obj | None) -> Iterable[Violation]:
    seen: set[str] = set()
    for index, item in enumerate(dig(limits, "spec.limits", ())):
        path, type = f"spec.limits[{index}]", item.get("type") or ""
        found = qualified_name(type)
        for reason in found:
            yield invalid(f"{path}.type", type, reason)
        if not found and "/" not in type and type not in _TYPES:
            yield invalid(f"{path}.type", type, "must be a standard limit type or fully qualified")
        if type in seen:
            yield duplicate(f"{path}.type", type)
        seen.add(type)
        yield from _names(item, type, path)
        for name in sorted({name for field in _FIELDS for name in item.get(field) or ()}):
            yield from _consistent(item, name, path)


def _names(item: Obj, type: str, path: str) -> Iterable[Violation]:
    rule = validate_container_name if type in ("Pod", "Container") else validate_name
    for field in _FIELDS:
        amounts = item.get(field) or {}
        if type == "Pod" and field.startswith("default"):
            if amounts:
                yield forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in amounts:
            yield from rule(name, f"{path}.{field}[{name}]")
    if type == "PersistentVolumeClaim" and not any("storage" in (item.get(f) or ()) for f in ("min", "max")):
        told = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", told)


def _consistent(item: Obj, name: str, path: str) -> Iterable[Violation]:
    """min <= default request <= default limit <= max, and a ratio that they allow."""
    given = {field: item[field][name] for field in _FIELDS if name in (item.get(field) or ())}
    for low, high, field, shown, told in _ORDER:
        if low in given and high in given and value_of(given[low]) > value_of(given[high]):
            words = told.format(low=given[low], high=given[high])
            yield invalid(f"{path}.{field}[{name}]", given[shown], words)
    ratio = given.get("maxLimitRequestRatio")
    if ratio is not None and value_of(ratio) < 1:
        yield invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, f"ratio {ratio} is less than 1")
    if ratio is not None and "min" in given and "max" in given and value_of(given["min"]) > 0:
        widest = float(value_of(given["max"]) / value_of(given["min"]))
        if float(value_of(ratio)) > widest:
            told = f"ratio {ratio} is greater than max/min = {widest:f}"
            yield invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, told)
    limit, request = given.get("default"), given.get("defaultRequest")
    if not may_overcommit(name) and None not in (limit, request) and value_of(limit) != value_of(request):
        told = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield invalid(f"{path}.defaultRequest[{name}]", request, told)


LimitRange = Kind(
    "LimitRange",
    "v1",
    "limitranges",
    short_names=("limits",),
    default=default,
    validate=validate,
    create_on_update=True,
    columns=DEFAULT_COLUMNS,
)
