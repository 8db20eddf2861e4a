"""What the kinds of this group share: selectors of devices (CEL), opaque configuration for drivers, names.

Fields of features that are off in v1.34 (device taints, partitionable devices, consumable capacity, binding
conditions, extended resources) are dropped when an object is written, as Kubernetes does.

Source: "Dynamic Resource Allocation" of the Kubernetes documentation, and the API reference of resource.k8s.io.
"""

from collections.abc import Callable, Iterable, Sequence

import orjson

from minikube_py.kinds.admissionregistration.expressions import compiled
from minikube_py.kinds.volumesources import validate_driver_name
from minikube_py.meta import cel
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_subdomain
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, invalid, required, too_long, too_many

LIMIT = 32
"""The greatest number of selectors, requests, constraints and configurations."""
MAX_EXPRESSION = 10 << 10
MAX_PARAMETERS = 10 << 10
_DEVICE: "cel.Variables" = {"device": None}
_IDENTIFIER = 32

Rule = Callable[[Obj, str], Iterable[Violation]]
"""The refusals of one item of a list, at a path."""


def validate_list(items: Sequence[Obj], rule: Rule, path: str, limit: int = LIMIT) -> Iterable[Violation]:
    """The refusals of a list of at most `limit` items."""
    if len(items) > limit:
        yield too_many(path, len(items), limit)
    for index, item in enumerate(items):
        yield from rule(item, f"{path}[{index}]")


def validate_named(items: Sequence[Obj], rule: Rule, path: str, limit: int = LIMIT) -> Iterable[Violation]:
    """The refusals of such a list whose items have different names."""
    yield from validate_list(items, rule, path, limit)
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get("name") or ""
        if name in seen:
            yield duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def validate_class_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a DeviceClass."""
    if not name:
        yield required(path)
    for reason in dns1123_subdomain(name) if name else ():
        yield invalid(path, name, reason)


def validate_selectors(selectors: Sequence[Obj], path: str) -> Iterable[Violation]:
    """The refusals of device selectors."""
    yield from validate_list(selectors, _selector, path)


def _selector(selector: Obj, path: str) -> Iterable[Violation]:
    if selector.get("cel") is None:
        yield required(f"{path}.cel")
        return
    expression, place = selector["cel"].get("expression") or "", f"{path}.cel.expression"
    if len(expression) > MAX_EXPRESSION:
        yield too_long(place, MAX_EXPRESSION)
        return
    if (fault := compiled(expression, place, _DEVICE)[1]) is not None:
        yield fault


def validate_configuration(config: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a configuration of devices: its parameters are the driver's, and any JSON object."""
    opaque, place = config.get("opaque"), f"{path}.opaque"
    if opaque is None:
        yield required(place)
        return
    yield from validate_driver_name(opaque.get("driver") or "", f"{place}.driver")
    parameters = opaque.get("parameters")
    if parameters is None:
        yield required(f"{place}.parameters")
    elif len(orjson.dumps(parameters)) > MAX_PARAMETERS:
        yield too_long(f"{place}.parameters", MAX_PARAMETERS)


def validate_qualified(name: str, path: str, *, full: bool = False) -> Iterable[Violation]:
    """The refusals of the name of an attribute or capacity: an identifier, with a domain before it (always,
    where it must be `full`)."""
    if not name:
        yield required(path, "name required" if full else "")
        return
    domain, slash, identifier = name.rpartition("/")
    if full and not slash:
        yield invalid(path, name, "must include a domain")
    if slash and not domain:
        yield required(path, "the domain must not be empty")
    for reason in dns1123_subdomain(domain) if domain else ():
        yield invalid(path, domain, reason)
    if not identifier:
        yield required(path, "the name must not be empty")
    elif not identifier.replace("_", "a").isascii() or not identifier.replace("_", "a").isidentifier():
        told = "a valid C identifier must start with alphabetic character or '_', followed by a string of "
        told += "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "
        yield invalid(path, identifier, told + "validation is '[A-Za-z_][A-Za-z0-9_]*')")
    elif len(identifier) > _IDENTIFIER:
        yield too_long(path, _IDENTIFIER)
