"""Validation of FlowSchemas: which requests they match, and their priority level."""

from collections.abc import Iterable, Sequence

from minikube_py.kinds.flowcontrol.mandatory import validate_mandatory_schema
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

EXEMPT = "exempt"
_MAX_PRECEDENCE = 10000
_VERBS = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "head",
    "list",
    "options",
    "patch",
    "post",
    "proxy",
    "put",
    "update",
    "watch",
)
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def validate_flow_schema(schema: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a FlowSchema."""
    spec, path = schema.get("spec") or {}, "spec.matchingPrecedence"
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        yield invalid(path, precedence, "must be a positive value")
    if precedence > _MAX_PRECEDENCE:
        yield invalid(path, precedence, f"must not be greater than {_MAX_PRECEDENCE}")
    if precedence == 1 and name_of(schema) != EXEMPT:
        yield invalid(path, 1, "only the schema named 'exempt' may have matchingPrecedence 1")
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        yield not_supported(
            "spec.distinguisherMethod.type", method.get("type") or "", ("ByNamespace", "ByUser")
        )
    level, path = (
        dig(schema, "spec.priorityLevelConfiguration.name", ""),
        "spec.priorityLevelConfiguration.name",
    )
    if not level:
        yield required(path, "must reference a priority level")
    for reason in dns1123_subdomain(level) if level else ():
        yield invalid(path, level, reason)
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(rule, f"spec.rules[{index}]")
    yield from validate_mandatory_schema(schema)


def validate_conditions(obj: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a status: each condition has a type, and stands there once."""
    seen: list[str] = []
    for index, found in enumerate(dig(obj, "status.conditions", ())):
        type = found.get("type") or ""
        if type in seen:
            yield duplicate(f"status.conditions[{index}].type", type)
        if not type:
            yield required(f"status.conditions[{index}].type")
        seen.append(type)


def _rule(rule: Obj, path: str) -> Iterable[Violation]:
    subjects = rule.get("subjects") or []
    if not subjects:
        yield required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        yield from _subject(subject, f"{path}.subjects[{index}]")
    resources, urls = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not urls:
        yield required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, one in enumerate(resources):
        yield from _resources(one, f"{path}.resourceRules[{index}]")
    for index, one in enumerate(urls):
        yield from _urls(one, f"{path}.nonResourceRules[{index}]")


def _subject(subject: Obj, path: str) -> Iterable[Violation]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        yield not_supported(f"{path}.kind", kind, _SUBJECTS)
        return
    field = _SUBJECTS[kind]
    for other, name in _SUBJECTS.items():
        if other != kind and subject.get(name) is not None:
            yield forbidden(f"{path}.{name}", f"{name} is forbidden when subject kind is not '{other}'")
    found = subject.get(field)
    if found is None:
        yield required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
        return
    name = found.get("name") or ""
    if not name:
        yield required(f"{path}.{field}.name")
    if kind == "ServiceAccount":
        yield from _account(name, found.get("namespace") or "", f"{path}.{field}")


def _account(name: str, namespace: str, path: str) -> Iterable[Violation]:
    for reason in dns1123_subdomain(name) if name not in ("", "*") else ():
        yield invalid(f"{path}.name", name, reason)
    if not namespace:
        yield required(f"{path}.namespace", "must specify namespace for service account")
    for reason in dns1123_label(namespace) if namespace else ():
        yield invalid(f"{path}.namespace", namespace, reason)


def _alone(values: Sequence[str], path: str, things: str) -> Iterable[Violation]:
    """A violation where the wildcard does not stand alone."""
    if "*" in values and len(values) > 1:
        yield invalid(path, values, f"if '*' is present, must not specify other {things}")


def _verbs(rule: Obj, path: str) -> Iterable[Violation]:
    verbs = rule.get("verbs") or []
    if not verbs:
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    elif "*" in verbs:
        yield from _alone(verbs, f"{path}.verbs", "verbs")
    elif not set(verbs) <= set(_VERBS):
        yield not_supported(f"{path}.verbs", verbs, _VERBS)


def _resources(rule: Obj, path: str) -> Iterable[Violation]:
    yield from _verbs(rule, path)
    for field, things in (("apiGroups", "api group"), ("resources", "resource")):
        values = rule.get(field) or []
        if not values:
            yield required(f"{path}.{field}", f"resource rules must supply at least one {things}")
        yield from _alone(values, f"{path}.{field}", f"{things}s")
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        told = "resource rules that are not cluster scoped must supply at least one namespace"
        yield required(f"{path}.namespaces", told)
    elif "*" in namespaces:
        yield from _alone(namespaces, f"{path}.namespaces", "namespaces")
    else:
        for index, namespace in enumerate(namespaces):
            for reason in dns1123_label(namespace):
                yield invalid(f"{path}.namespaces[{index}]", namespace, reason)


def _urls(rule: Obj, path: str) -> Iterable[Violation]:
    yield from _verbs(rule, path)
    urls = rule.get("nonResourceURLs") or []
    if not urls:
        yield required(f"{path}.nonResourceURLs", "nonResourceURLs must contain at least one value")
    elif "*" in urls:
        yield from _alone(urls, f"{path}.nonResourceURLs", "non-resource URLs")
    else:
        for index, url in enumerate(urls):
            yield from _url(url, f"{path}.nonResourceURLs[{index}]")


def _url(url: str, path: str) -> Iterable[Violation]:
    if not url:
        yield invalid(path, url, "must not be empty")
    elif url == "/":
        return
    elif not url.startswith("/"):
        yield invalid(path, url, "must start with slash")
    elif " " in url:
        yield invalid(path, url, "must not contain white-space")
    elif "//" in url:
        yield invalid(path, url, "must not contain double slash")
    elif "*" in url[:-1] or (url.endswith("*") and not url.endswith("/*")):
        yield invalid(path, url, "wildcard can only do suffix matching")
