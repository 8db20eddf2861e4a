"""The rules of resource names and of their amounts, for whatever counts resources: containers, quotas, limit
ranges, nodes, claims.

A resource is native (without a prefix, or of kubernetes.io) or extended (`example.com/gpu`).
"""

from collections.abc import Callable, Iterable
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import int_value, milli_value, parse_quantity
from minikube_py.meta.violations import NOT_NEGATIVE, invalid

NOT_POSITIVE = "must be greater than zero"
NOT_INTEGER = "must be an integer"
NOT_STANDARD = "must be a standard resource type or fully qualified"
HUGE_PAGES = "hugepages-"

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_COUNTED = frozenset(
    (
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
_QUOTA = _COUNTED | frozenset(
    (
        *_COMPUTE, *(f"requests.{name}" for name in _COMPUTE), *(f"limits.{name}" for name in _COMPUTE),
        "requests.storage",
    )
)  # fmt: skip
_STANDARD = _QUOTA | {"storage"}

NameRule = Callable[[str, str], Iterable[Violation]]
"""The refusals of a resource name at a path."""


def is_native(name: str) -> bool:
    """Whether Kubernetes itself knows the resource."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether it is a resource of someone's own, counted in whole numbers."""
    return not is_native(name) and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def is_huge_pages(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def may_overcommit(name: str) -> bool:
    """Whether limits may be greater than requests."""
    return is_native(name) and not is_huge_pages(name)


def is_quota_name(name: str) -> bool:
    """Whether a quota knows the resource without a prefix."""
    return name in _QUOTA or is_huge_pages(name.removeprefix("requests."))


def validate_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of any resource."""
    found = qualified_name(name)
    for reason in found:
        yield invalid(path, name, reason)
    if found or "/" in name or name in _STANDARD or is_huge_pages(name.removeprefix("requests.")):
        return
    yield invalid(path, name, NOT_STANDARD)


def validate_container_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a resource that a container asks for."""
    yield from validate_name(name, path)
    if "/" not in name:
        if name not in _COMPUTE and not is_huge_pages(name):
            yield invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid(path, name, "doesn't follow extended resource name standard")


def validate_quota_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a resource that a quota limits."""
    yield from validate_name(name, path)
    if "/" not in name and not is_quota_name(name):
        yield invalid(path, name, "must be a standard resource for quota")


def validate_amount(amount: Any, path: str) -> Iterable[Violation]:
    """The refusals of a quantity that may not be negative."""
    try:
        if milli_value(amount) < 0:
            yield invalid(path, amount, NOT_NEGATIVE)
    except ValueError as error:
        yield invalid(path, amount, str(error))


def validate_resource(name: str, amount: Any, path: str) -> Iterable[Violation]:
    """The refusals of the amount of a resource: not negative, and whole where things are counted."""
    yield from validate_amount(amount, path)
    if (name in _COUNTED or is_extended(name)) and value_of(amount).denominator != 1:
        yield invalid(path, amount, NOT_INTEGER)


def validate_positive(amount: Any, path: str) -> Iterable[Violation]:
    """The refusals of a quantity that must be more than zero."""
    try:
        if parse_quantity(amount) <= 0:
            yield invalid(path, str(amount), NOT_POSITIVE)
    except ValueError as error:
        yield invalid(path, amount, str(error))


def validate_resources(amounts: Obj | None, rule: NameRule, path: str) -> Iterable[Violation]:
    """The refusals of a map of resources: names by `rule`, amounts not negative."""
    for name, amount in (amounts or {}).items():
        yield from rule(name, f"{path}[{name}]")
        yield from validate_resource(name, amount, f"{path}[{name}]")


def validate_huge_pages(name: str, amount: Any, path: str) -> Iterable[Violation]:
    """A violation where an amount of huge pages is no multiple of their size."""
    try:
        size = int_value(name.removeprefix(HUGE_PAGES))
        divisible = size > 0 and int_value(amount) % size == 0
    except ValueError:
        divisible = False
    if not divisible:
        yield invalid(path, str(amount), f"{amount} is not positive integer multiple of {name}")


def value_of(amount: Any) -> Any:
    """The exact value of a quantity; 0 for what is none (validation tells that)."""
    try:
        return parse_quantity(amount)
    except ValueError:
        return parse_quantity(0)
