"""Validation of what webhooks and policies match: operations, groups, versions, resources, scopes."""

from collections.abc import Iterable, Sequence

from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import path_segment_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, invalid, not_supported, required

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
MATCH_POLICIES = ("Equivalent", "Exact")
FAILURE_POLICIES = ("Fail", "Ignore")


def validate_rule(rule: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a rule with operations."""
    operations = rule.get("operations") or []
    yield from _list(operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    yield from _list(rule.get("apiGroups") or [], f"{path}.apiGroups", "API groups")
    versions = rule.get("apiVersions") or []
    yield from _list(versions, f"{path}.apiVersions", "API versions")
    for index, version in enumerate(versions):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resources(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope") is not None and rule["scope"] not in _SCOPES:
        yield not_supported(f"{path}.scope", rule["scope"], _SCOPES)


def _list(values: Sequence[str], path: str, things: str) -> Iterable[Violation]:
    if not values:
        yield required(path)
    if len(values) > 1 and "*" in values:
        yield invalid(path, values, f"if '*' is present, must not specify other {things}")


def _resources(resources: Sequence[str], path: str) -> Iterable[Violation]:
    if not resources:
        yield required(path)
    whole: set[str] = set()  # resources with all of their subresources
    everywhere: set[str] = set()  # subresources of all resources
    for index, one in enumerate(resources):
        resource, slash, subresource = one.partition("/")
        place = f"{path}[{index}]"
        if not one:
            yield required(place)
        if not slash:
            continue
        if resource in whole:
            yield invalid(place, one, f"if '{resource}/*' is present, must not specify {one}")
        if subresource in everywhere:
            yield invalid(place, one, f"if '*/{subresource}' is present, must not specify {one}")
        whole.update([resource] if subresource == "*" else ())
        everywhere.update([subresource] if resource == "*" else ())
    if len(resources) > 1 and "*/*" in resources:
        yield invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and any(one and one != "*" and "/" not in one for one in resources):
        told = "if '*' is present, must not specify other resources without subresources"
        yield invalid(path, resources, told)


def validate_match_resources(match: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a MatchResources."""
    if match.get("matchPolicy") is None:
        yield required(f"{path}.matchPolicy")
    elif match["matchPolicy"] not in MATCH_POLICIES:
        yield not_supported(f"{path}.matchPolicy", match["matchPolicy"], MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        if match.get(field) is None:
            yield required(f"{path}.{field}")
        yield from validate_label_selector(match.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or ()):
            yield from _named_rule(rule, f"{path}.{field}[{index}]")


def _named_rule(rule: Obj, path: str) -> Iterable[Violation]:
    names = rule.get("resourceNames") or []
    for index, name in enumerate(names):
        for reason in path_segment_name(name):
            yield invalid(f"{path}.resourceNames[{index}]", name, reason)
        if name in names[:index]:
            yield duplicate(f"{path}.resourceNames[{index}]", name)
    yield from validate_rule(rule, path)
