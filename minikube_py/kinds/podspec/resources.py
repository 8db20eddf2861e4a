"""Validation of resource requests and limits."""

from collections.abc import Iterable
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import milli_value, parse_quantity
from minikube_py.meta.violations import NOT_NEGATIVE, invalid, required

_STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))


def validate_resources(resources: Obj, path: str) -> Iterable[Violation]:
    """The refusals of `resources` of a container."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            yield from _name(name, f"{path}.{field}")
            yield from validate_amount(amount, f"{path}.{field}[{name}]")
    for name, request in requests.items():
        yield from _fits(name, request, limits, f"{path}.requests")
    for name in limits:
        if _is_extended(name) and name not in requests:
            yield invalid(
                f"{path}.limits", limits[name], "Request must be set for non overcommitable resources"
            )
    if "cpu" not in limits | requests and "memory" not in limits | requests:
        for name in limits | requests:
            if name.startswith("hugepages-"):
                yield required(path, "HugePages require cpu or memory")


def _name(name: str, path: str) -> Iterable[Violation]:
    for reason in qualified_name(name):
        yield invalid(path, name, reason)
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        yield invalid(path, name, "must be a standard resource type or fully qualified")
        yield invalid(path, name, "must be a standard resource for containers")


def validate_amount(amount: Any, path: str) -> Iterable[Violation]:
    """The refusals of a quantity that may not be negative."""
    try:
        if milli_value(amount) < 0:
            yield invalid(path, amount, NOT_NEGATIVE)
    except ValueError as error:
        yield invalid(path, amount, str(error))


def _is_extended(name: str) -> bool:
    return ("/" in name and "kubernetes.io/" not in name) or name.startswith("hugepages-")


def _fits(name: str, request: Any, limits: Obj, path: str) -> Iterable[Violation]:
    limit = limits.get(name)
    if limit is None:
        if _is_extended(name):
            yield required(
                path.replace(".requests", ".limits"), "Limit must be set for non overcommitable resources"
            )
        return
    if request == limit:
        return
    try:
        asked, allowed = parse_quantity(request), parse_quantity(limit)
    except ValueError:
        return  # told already
    if _is_extended(name) and asked != allowed:
        yield invalid(path, request, f"must be equal to {name} limit of {limit}")
    elif asked > allowed:
        yield invalid(path, request, f"must be less than or equal to {name} limit of {limit}")
