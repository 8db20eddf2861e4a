"""The audit policy (audit.k8s.io/v1): how much of which request the audit log is told. Pure.

The first rule that matches decides; what no rule matches is not logged. Whatever a policy says, of the bodies
that hold tokens (TokenReview, TokenRequest) only metadata is logged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from minikube_py.apiserver.request import RequestInfo
from minikube_py.meta import yaml
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import User

VERSION = "audit.k8s.io/v1"
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")


class Level(IntEnum):
    """How much is logged."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def shown(self) -> str:
        """The level's name in events and policies."""
        return _NAMES[self]


_NAMES = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {name: level for level, name in _NAMES.items()}


class BadPolicy(ValueError):
    """A policy that cannot be used; the message says what is wrong with it."""


class Verdict(NamedTuple):
    """What of a request is logged: how much, at which stages not, and whether without managedFields."""

    level: Level
    omitted: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in their order, and what holds for all of them."""

    rules: tuple[Obj, ...]
    omitted: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def verdict(self, user: User, info: RequestInfo) -> Verdict:
        """What of a user's request is logged."""
        for rule in self.rules:
            if rule_matches(rule, user, info):
                level = _LEVELS[rule["level"]]
                if holds_tokens(info):
                    level = min(level, Level.METADATA)
                omit = rule.get("omitManagedFields")
                return Verdict(
                    level,
                    self.omitted | frozenset(rule.get("omitStages") or ()),
                    self.omit_managed_fields if omit is None else bool(omit),
                )
        return Verdict(Level.NONE)


def holds_tokens(info: RequestInfo) -> bool:
    """Whether the bodies of such requests hold tokens."""
    return info.resource == "tokenreviews" or (info.resource, info.subresource) == ("serviceaccounts", "token")


def rule_matches(rule: Mapping[str, Any], user: User, info: RequestInfo) -> bool:
    """Whether a PolicyRule matches a user's request."""
    if rule.get("users") and user.name not in rule["users"]:
        return False
    if rule.get("userGroups") and not set(rule["userGroups"]) & set(user.groups):
        return False
    if rule.get("verbs") and info.verb not in rule["verbs"]:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return info.is_resource and _resource_matches(rule, info)
    if rule.get("nonResourceURLs"):
        return not info.is_resource and any(_url_matches(url, info.path) for url in rule["nonResourceURLs"])
    return True


def _resource_matches(rule: Mapping[str, Any], info: RequestInfo) -> bool:
    if rule.get("namespaces") and info.namespace not in rule["namespaces"]:
        return False
    chosen: Sequence[Obj] = rule.get("resources") or ()
    return not chosen or any(one.get("group", "") == info.group and _in_group(one, info) for one in chosen)


def _in_group(chosen: Obj, info: RequestInfo) -> bool:
    names: Collection[str] = chosen.get("resourceNames") or ()
    if names and info.name not in names:
        return False
    resources: Collection[str] = chosen.get("resources") or ()
    if not resources or "*" in resources:
        return True
    if not info.subresource:
        return info.resource in resources
    both = (f"{info.resource}/{info.subresource}", f"{info.resource}/*", f"*/{info.subresource}")
    return any(one in resources for one in both)


def _url_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1]))


def load(path: Path) -> Policy:
    """The policy of a file (YAML or JSON). Errors: BadPolicy, OSError."""
    try:
        found = yaml.load(path.read_bytes())
    except yaml.YamlError as error:
        raise BadPolicy(f"{path}: {error}") from error
    if not isinstance(found, dict) or (found.get("apiVersion"), found.get("kind")) != (VERSION, "Policy"):
        raise BadPolicy(f"{path}: this is no Policy of {VERSION}")
    try:
        return policy_of(found)
    except BadPolicy as error:
        raise BadPolicy(f"{path}: {error}") from error


def policy_of(obj: Obj) -> Policy:
    """The policy that a Policy object describes. Errors: BadPolicy."""
    rules = obj.get("rules") or []
    if not isinstance(rules, list) or not rules:
        raise BadPolicy("loaded illegal policy with 0 rules")
    for place, rule in enumerate(rules):
        _check_rule(rule, f"rules[{place}]")
    _check_stages(obj.get("omitStages") or (), "omitStages")
    return Policy(tuple(rules), frozenset(obj.get("omitStages") or ()), bool(obj.get("omitManagedFields")))


def _check_rule(rule: Any, where: str) -> None:
    if not isinstance(rule, dict):
        raise BadPolicy(f"{where} is no map")
    level = rule.get("level")
    if level not in _LEVELS:
        supported = ", ".join(f'"{name}"' for name in _LEVELS)
        raise BadPolicy(f'{where}.level: Unsupported value: "{level or ""}": supported values: {supported}')
    _check_stages(rule.get("omitStages") or (), f"{where}.omitStages")
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        raise BadPolicy(
            f"{where}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs"
        )
    for url in rule.get("nonResourceURLs") or ():
        if url != "*" and (not str(url).startswith("/") or "*" in str(url)[:-1]):
            raise BadPolicy(f"{where}.nonResourceURLs: {url!r} must begin with / and may only end with *")


def _check_stages(stages: Any, where: str) -> None:
    for stage in stages:
        if stage not in STAGES:
            supported = ", ".join(STAGES)
            raise BadPolicy(f"{where}: {stage!r} is no stage; there are {supported}")


_BODIES: tuple[Obj, ...] = (
    {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
    {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
)
DEFAULT = Policy(
    (
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version", "/metrics"]},
        {"level": "None", "verbs": ["get", "list", "watch"], "users": ["system:apiserver"]},
        {"level": "None", "resources": [{"group": "", "resources": ["events"]}]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata", "resources": list(_BODIES)},
        {"level": "Metadata", "verbs": ["get", "list", "watch"]},
        {"level": "Request", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "Metadata"},
    ),
    omitted=frozenset(("RequestReceived",)),
    omit_managed_fields=True,
)
"""The policy where none is given: every write with its body, every read by its metadata, no secret's body."""
