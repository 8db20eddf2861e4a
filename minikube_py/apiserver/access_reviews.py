"""What an access review asks, and the refusals of one that asks it wrongly. Pure.

Source: authorization.k8s.io/v1 of the Kubernetes API (v1.34), with field and label selectors (KEP-4601).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minikube_py.apiserver.authz import field_requirements
from minikube_py.apiserver.rbac import Attributes
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, namespace_of
from minikube_py.meta.violations import invalid, not_supported, required

_RESOURCE, _PATH = "spec.resourceAttributes", "spec.nonResourceAttributes"
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_WITH_VALUES = ("In", "NotIn")


def asked(spec: Mapping[str, Any]) -> Attributes:
    """What the spec of a review that is valid asks to be allowed."""
    path, resource = spec.get("nonResourceAttributes"), spec.get("resourceAttributes") or {}
    if path is not None:
        return Attributes(path.get("verb") or "", path=path.get("path") or "/")

    def of(field: str) -> str:
        return resource.get(field) or ""

    return Attributes(
        verb=of("verb"),
        group=of("group"),
        resource=of("resource"),
        subresource=of("subresource"),
        namespace=of("namespace"),
        name=of("name"),
        version=of("version"),
        fields=_fields(resource.get("fieldSelector") or {}),
    )


def _fields(selector: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """The field requirements that a decision may go by; what is no equality restricts nothing."""
    if raw := selector.get("rawSelector"):
        return field_requirements(raw)
    found: list[tuple[str, str, str]] = []
    for one in selector.get("requirements") or ():
        values: Sequence[str] = one.get("values") or ()
        if len(values) == 1 and one.get("operator") in _WITH_VALUES:
            found.append((one.get("key") or "", "=" if one["operator"] == "In" else "!=", values[0]))
    return tuple(found)


def faults(review: Obj, *, of_self: bool, local: bool) -> Iterator[Violation]:
    """The refusals of an access review: of one's own access, or of that in one namespace."""
    spec = review.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        yield invalid(_PATH, path, "cannot be specified in combination with resourceAttributes")
    if resource is None and path is None:
        yield invalid(
            _RESOURCE, None, "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        )
    if not of_self and not spec.get("user") and not spec.get("groups"):
        yield invalid("spec.user", spec.get("user") or "", "at least one of user or group must be specified")
    for field in ("fieldSelector", "labelSelector"):
        selector = (resource or {}).get(field)
        if selector is not None:
            yield from _selector_faults(selector, f"{_RESOURCE}.{field}")
    yield from _metadata_faults(review, local=local)
    if local:
        yield from _local_faults(review, resource, path)


def _selector_faults(selector: Mapping[str, Any], path: str) -> Iterable[Violation]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
    if raw and requirements:
        yield invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        yield required(
            f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required"
        )
    for index, one in enumerate(requirements):
        where, operator = f"{path}.requirements[{index}]", one.get("operator") or ""
        if not one.get("key"):
            yield required(f"{where}.key", "must be specified")
        if operator not in _OPERATORS:
            yield not_supported(f"{where}.operator", operator, _OPERATORS)
        elif operator in _WITH_VALUES and not one.get("values"):
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator not in _WITH_VALUES and one.get("values"):
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield invalid(f"{where}.values", one["values"], why)


def _metadata_faults(review: Obj, *, local: bool) -> Iterable[Violation]:
    metadata = {
        key: value
        for key, value in (review.get("metadata") or {}).items()
        if value and key != "managedFields" and not (local and key == "namespace")
    }
    if metadata:
        yield invalid("metadata", metadata, "must be empty except for namespace" if local else "must be empty")


def _local_faults(review: Obj, resource: Obj | None, path: Obj | None) -> Iterable[Violation]:
    if resource is not None and (resource.get("namespace") or "") != namespace_of(review):
        given = resource.get("namespace") or ""
        yield invalid(f"{_RESOURCE}.namespace", given, "must match metadata.namespace")
    if path is not None:
        yield invalid(_PATH, path, "disallowed on this kind of request")
