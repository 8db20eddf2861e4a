"""FlowSchemas: which of them a request belongs to, and so which priority level and which flow of it.

The one with the lowest matchingPrecedence (then name) that matches wins; one whose level does not exist is
passed over.
Source: "API Priority and Fairness" of Kubernetes (v1.34).
"""

from collections.abc import Iterable
from typing import NamedTuple

from minikube_py.apiserver.request import RequestInfo
from minikube_py.meta.objects import Obj, dig, name_of, uid_of
from minikube_py.registry.base import User

_ACCOUNT = "system:serviceaccount:"


class Flow(NamedTuple):
    """Where a request belongs: the schema, the level's name, and what parts its flow from others."""

    schema: str
    schema_uid: str
    level: str
    distinguisher: str


class FlowSchemas:
    """The schemas there are, by what a request asks."""

    def __init__(self) -> None:
        self._schemas: dict[str, Obj] = {}
        self._levels: set[str] = set()
        self._ordered: list[Obj] | None = None

    def put(self, schema: Obj) -> None:
        """Know a FlowSchema as it is now."""
        self._schemas[name_of(schema)] = schema
        self._ordered = None

    def remove(self, schema: Obj) -> None:
        """The FlowSchema is gone."""
        self._schemas.pop(name_of(schema), None)
        self._ordered = None

    def set_levels(self, levels: Iterable[str]) -> None:
        """Know which priority levels there are."""
        self._levels = set(levels)
        self._ordered = None

    def all(self) -> list[Obj]:
        """Every FlowSchema."""
        return list(self._schemas.values())

    def has_level(self, schema: Obj) -> bool:
        """Whether the schema's priority level exists."""
        return level_of(schema) in self._levels

    def flow_of(self, user: User, info: RequestInfo) -> Flow | None:
        """Where a request belongs; None where no schema matches it."""
        if self._ordered is None:
            usable = (schema for schema in self._schemas.values() if self.has_level(schema))
            self._ordered = sorted(usable, key=lambda s: (dig(s, "spec.matchingPrecedence", 0), name_of(s)))
        for schema in self._ordered:
            if any(rule_matches(rule, user, info) for rule in dig(schema, "spec.rules", ())):
                method = dig(schema, "spec.distinguisherMethod.type", "")
                parts = {"ByUser": user.name, "ByNamespace": info.namespace}.get(method, "")
                return Flow(name_of(schema), uid_of(schema), level_of(schema), f"{name_of(schema)}/{parts}")
        return None


def level_of(schema: Obj) -> str:
    """The name of the schema's priority level."""
    return dig(schema, "spec.priorityLevelConfiguration.name", "") or ""


def rule_matches(rule: Obj, user: User, info: RequestInfo) -> bool:
    """Whether a PolicyRulesWithSubjects matches a user's request."""
    if not any(_is_subject(subject, user) for subject in rule.get("subjects") or ()):
        return False
    if info.is_resource:
        return any(_resource_matches(one, info) for one in rule.get("resourceRules") or ())
    return any(_path_matches(one, info) for one in rule.get("nonResourceRules") or ())


def _path_matches(rule: Obj, info: RequestInfo) -> bool:
    urls = rule.get("nonResourceURLs") or ()
    return _has(rule.get("verbs"), info.verb) and any(_url_matches(url, info.path) for url in urls)


def _is_subject(subject: Obj, user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        return dig(subject, "user.name") in ("*", user.name)
    if kind == "Group":
        name = dig(subject, "group.name")
        return name == "*" or name in user.groups
    namespace, _, name = user.name.removeprefix(_ACCOUNT).partition(":")
    if not user.name.startswith(_ACCOUNT) or dig(subject, "serviceAccount.namespace") != namespace:
        return False
    return dig(subject, "serviceAccount.name") in ("*", name)


def _resource_matches(rule: Obj, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (
        _has(rule.get("verbs"), info.verb)
        and _has(rule.get("apiGroups"), info.group)
        and _has(rule.get("resources"), resource)
    ):
        return False
    return _has(rule.get("namespaces"), info.namespace) if info.namespace else bool(rule.get("clusterScope"))


def _url_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("/*") and path.startswith(url[:-1]))


def _has(values: Iterable[str] | None, value: str) -> bool:
    return any(one in ("*", value) for one in values or ())
