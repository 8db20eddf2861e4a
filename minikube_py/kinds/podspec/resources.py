"""Validation of resource requests and limits, of containers and of whole pods."""

from collections.abc import Collection, Iterable
from typing import Any

from minikube_py.kinds.podspec.totals import pod_limits, pod_requests
from minikube_py.kinds.resourcenames import (
    NameRule,
    is_huge_pages,
    may_overcommit,
    validate_container_name,
    validate_huge_pages,
    validate_name,
    validate_resource,
    value_of,
)
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_found, not_supported, required

COMPUTE = frozenset(("cpu", "memory"))


def validate_container_resources(resources: Obj, claims: Collection[str], path: str) -> Iterable[Violation]:
    """The refusals of `resources` of a container; `claims` are the names in the pod's resourceClaims."""
    if resources:
        yield from _validate(resources, validate_container_name, path)
        yield from _claims(resources.get("claims") or (), claims, f"{path}.claims")


def _validate(resources: Obj, rule: NameRule, path: str) -> Iterable[Violation]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            place = f"{path}.{field}[{name}]"
            yield from rule(name, place)
            yield from validate_resource(name, amount, place)
            if is_huge_pages(name):
                yield from validate_huge_pages(name, amount, place)
    for name, request in requests.items():
        yield from _fits(name, request, limits, path)
    names = limits.keys() | requests.keys()
    if any(map(is_huge_pages, names)) and not names & COMPUTE:
        yield forbidden(path, "HugePages require cpu or memory")


def _fits(name: str, request: Any, limits: Obj, path: str) -> Iterable[Violation]:
    limit = limits.get(name)
    if limit is None:
        if not may_overcommit(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif request == limit:
        return
    elif not may_overcommit(name):
        if value_of(request) != value_of(limit):
            yield invalid(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}")
    elif value_of(request) > value_of(limit):
        told = f"must be less than or equal to {name} limit of {limit}"
        yield invalid(f"{path}.requests", str(request), told)


def _claims(used: Iterable[Obj], known: Collection[str], path: str) -> Iterable[Violation]:
    """The claims that a container uses, or requests within them: each once, and known to the pod."""
    names: set[str] = set()
    for index, claim in enumerate(used):
        place, name, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            yield required(place)
            continue
        key = f"{name}/{request}" if request else name
        for reason in dns1123_label(request) if request else ():
            yield invalid(f"{place}.request", request, reason)
        overlaps = not request and any(one.startswith(f"{name}/") for one in names)
        if name in names or key in names or overlaps:
            yield duplicate(place, name if name in names or overlaps else key)
        names.add(key)
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            yield not_found(place, name, f"must be one of the names in pod.spec.resourceClaims{listed}")


def validate_pod_claims(claims: Iterable[Obj], path: str) -> Iterable[Violation]:
    """The refusals of `resourceClaims` of a pod spec."""
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        place, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            yield required(f"{place}.name")
        elif name in seen:
            yield duplicate(f"{place}.name", name)
        else:
            for reason in dns1123_label(name):
                yield invalid(f"{place}.name", name, reason)
        seen.add(name)
        chosen = [claim.get(field) for field in ("resourceClaimName", "resourceClaimTemplateName")]
        fields = "`resourceClaimName`, `resourceClaimTemplateName`"
        if all(one is not None for one in chosen):
            told = f"at most one of {fields.replace(', ', ' or ')} may be specified"
            yield invalid(place, claim, told)
        elif all(one is None for one in chosen):
            yield invalid(place, claim, f"must specify one of: {fields}")


def validate_pod_resources(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of `resources` of a whole pod: only cpu, memory and huge pages, and enough for what its
    containers ask."""
    resources = spec.get("resources")
    if not resources:
        return
    place = f"{path}.resources"
    if (spec.get("os") or {}).get("name") == "windows":
        yield forbidden(place, "may not be set for a windows pod")
        return
    if resources.get("claims") is not None:
        yield forbidden(f"{place}.claims", "claims may not be set for Resources at pod-level")
    yield from _validate(resources, _pod_level_name, place)
    yield from _covers(spec, resources, place)


def _pod_level_name(name: str, path: str) -> Iterable[Violation]:
    found = list(validate_name(name, path))
    yield from found
    if not found and name not in COMPUTE and not is_huge_pages(name):
        yield not_supported(path, name, ("cpu", "hugepages-", "memory"))


def _covers(spec: Obj, resources: Obj, path: str) -> Iterable[Violation]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    containers = {field: spec.get(field) for field in ("containers", "initContainers")}
    try:
        asked, limited = pod_requests(containers), pod_limits(containers)
    except ValueError:
        return  # what is no quantity has been told
    for name, amount in asked.items():
        if name in requests and value_of(amount) > value_of(requests[name]):
            told = f"must be greater than or equal to aggregate container requests of {amount}"
            yield invalid(f"{path}.requests[{name}]", str(requests[name]), told)
    for name, amount in limited.items():
        if is_huge_pages(name) and name in limits and value_of(amount) > value_of(limits[name]):
            told = f"must be greater than or equal to aggregate container limits of {amount}"
            yield invalid(f"{path}.limits[{name}]", str(limits[name]), told)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and value_of(limit) > value_of(limits[name]):
                told = f"must be less than or equal to pod limits of {limits[name]}"
                yield invalid(f"{path}.containers[{index}][{name}].limits", str(limit), told)
