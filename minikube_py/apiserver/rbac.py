"""RBAC: an index of roles and bindings that answers in microseconds, kept up to date change by change.

Rules are additive; nothing denies. ClusterRoles with an aggregationRule hold the rules of the roles that their
selectors choose, transitively, whatever their stored `rules` say. Decisions are remembered until any role or
binding changes, without the object's name: what is remembered is which names are allowed.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from minikube_py.meta import selectors
from minikube_py.meta.objects import Obj, labels_of
from minikube_py.meta.remembered import LONGEST
from minikube_py.registry.base import User

Ref = tuple[str, str]
"""A role: its namespace (empty for a ClusterRole) and its name."""

EVERY: frozenset[str] = frozenset("*")
REMEMBERED = 50_000
"""Decisions kept before all are forgotten."""


class Rule(NamedTuple):
    """A PolicyRule made ready for matching."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]


class Attributes(NamedTuple):
    """What is to be decided. A non-resource request has only a verb and a `path`."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    version: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    """The field selector of a list or watch: path, operator (`=` or `!=`) and value."""

    @property
    def is_resource(self) -> bool:
        return not self.path


def compile_rules(rules: Iterable[Obj] | None) -> tuple[Rule, ...]:
    """The rules of a role, ready for matching."""
    return tuple(
        Rule(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )
        for rule in rules or ()
    )


def _has(values: frozenset[str], value: str) -> bool:
    return value in values or "*" in values


def matches_resource(rule: Rule, resource: str, subresource: str) -> bool:
    """Whether the rule's resources hold `resource/subresource`: as such, by `*`, or by `*/subresource`."""
    if "*" in rule.resources:
        return True
    if not subresource:
        return resource in rule.resources
    return f"{resource}/{subresource}" in rule.resources or f"*/{subresource}" in rule.resources


def matches_path(rule: Rule, path: str) -> bool:
    """Whether the rule's nonResourceURLs hold `path`: as such, by `*`, or by a prefix that ends in `*`."""
    return any(
        url == "*" or url == path or (url.endswith("*") and path.startswith(url.rstrip("*")))
        for url in rule.urls
    )


def rule_allows(rule: Rule, asked: Attributes) -> bool:
    """Whether the rule allows what is asked."""
    if not _has(rule.verbs, asked.verb):
        return False
    if not asked.is_resource:
        return matches_path(rule, asked.path)
    if not (_has(rule.groups, asked.group) and matches_resource(rule, asked.resource, asked.subresource)):
        return False
    return not rule.names or asked.name in rule.names


def subjects_of(user: User) -> list[str]:
    """The keys under which bindings name the user: itself and its groups."""
    return [f"u:{user.name}", *(f"g:{group}" for group in user.groups)]


def subject_key(subject: Obj, namespace: str) -> str:
    """The key of a binding's subject; a ServiceAccount is the user it acts as."""
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "Group":
        return f"g:{name}"
    if kind == "ServiceAccount":
        return f"u:system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return f"u:{name}"


def _described(subject: Obj, namespace: str) -> str:
    """`Group "x"`, as reasons name a subject; ServiceAccounts as `name/namespace`."""
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or namespace}"
    return f'{kind} "{name}"'


class _Binding(NamedTuple):
    subjects: Mapping[str, str]
    """The keys of the subjects, each with the words for it."""
    role: Ref


def _binding_words(binding: Ref, role: Ref) -> str:
    namespace, name = binding
    kind, shown = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
    return f'{kind} "{shown}" of {"Role" if role[0] else "ClusterRole"} "{role[1]}"'


class RbacIndex:
    """Roles and bindings by what a decision asks for."""

    def __init__(self) -> None:
        self._roles: dict[Ref, tuple[Rule, ...]] = {}
        self._raw: dict[Ref, list[Obj]] = {}
        self._labels: dict[Ref, dict[str, str]] = {}
        self._aggregates: dict[Ref, list[selectors.Selector]] = {}
        self._bindings: dict[Ref, _Binding] = {}
        self._by_subject: dict[tuple[str, str], dict[Ref, Ref]] = {}  # (namespace, subject) > binding > role
        self._effective: dict[Ref, tuple[Rule, ...]] = {}
        self._allowed: dict[tuple[object, ...], frozenset[str]] = {}
        self._reasons: dict[tuple[object, ...], str] = {}

    # Changes

    def set_role(self, role: Obj) -> None:
        """Know a Role or ClusterRole as it is now."""
        metadata = role["metadata"]
        ref = (metadata.get("namespace") or "", metadata["name"])
        self._raw[ref] = role.get("rules") or []
        self._roles[ref] = compile_rules(role.get("rules"))
        self._labels[ref] = labels_of(role)
        chosen = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if chosen:
            self._aggregates[ref] = [selectors.from_label_selector(selector) for selector in chosen]
        else:
            self._aggregates.pop(ref, None)
        self._forget()

    def remove_role(self, namespace: str, name: str) -> None:
        """The role is gone."""
        for known in (self._roles, self._raw, self._labels, self._aggregates):
            known.pop((namespace, name), None)
        self._forget()

    def set_binding(self, binding: Obj) -> None:
        """Know a RoleBinding or ClusterRoleBinding as it is now."""
        metadata = binding["metadata"]
        namespace, name = metadata.get("namespace") or "", metadata["name"]
        self.remove_binding(namespace, name)
        reference = binding.get("roleRef") or {}
        role = ("" if reference.get("kind") == "ClusterRole" else namespace, reference.get("name", ""))
        subjects = {
            subject_key(subject, namespace): _described(subject, namespace)
            for subject in binding.get("subjects") or ()
        }
        self._bindings[(namespace, name)] = _Binding(subjects, role)
        for subject in subjects:
            self._by_subject.setdefault((namespace, subject), {})[(namespace, name)] = role
        self._forget()

    def remove_binding(self, namespace: str, name: str) -> None:
        """The binding is gone."""
        known = self._bindings.pop((namespace, name), None)
        if known is None:
            return
        for subject in known.subjects:
            bound = self._by_subject.get((namespace, subject), {})
            bound.pop((namespace, name), None)
            if not bound:
                self._by_subject.pop((namespace, subject), None)
        self._forget()

    def _forget(self) -> None:
        self._effective.clear()
        self._allowed.clear()
        self._reasons.clear()

    # Questions

    def allows(self, user: User, asked: Attributes) -> bool:
        """Whether any rule that the user's bindings grant allows what is asked."""
        key = (user.name, user.groups, *asked[:5], asked.path)
        names = self._allowed.get(key)
        if names is None:
            if len(self._allowed) >= REMEMBERED:
                self._allowed.clear()
            names = self._names(user, asked)
            if sum(map(len, (*asked[:5], asked.path))) <= LONGEST:
                self._allowed[key] = names
        return names is EVERY or asked.name in names

    def reason(self, user: User, asked: Attributes) -> str:
        """By which binding what is asked is allowed, in Kubernetes' words; empty where it is not."""
        key = (user.name, user.groups, *asked)
        known = self._reasons.get(key)
        if known is None:
            if len(self._reasons) >= REMEMBERED:
                self._reasons.clear()
            known = self._found_reason(user, asked)
            if len(repr(asked)) <= LONGEST:
                self._reasons[key] = known
        return known

    def _found_reason(self, user: User, asked: Attributes) -> str:
        for scope in ("", asked.namespace) if asked.namespace else ("",):
            keys = subjects_of(user)
            bound = sorted({ref for key in keys for ref in self._by_subject.get((scope, key), {})})
            for ref in bound:
                subjects, role = self._bindings[ref]
                if any(rule_allows(rule, asked) for rule in self.rules_of(role)):
                    who = next(subjects[key] for key in keys if key in subjects)
                    return f"RBAC: allowed by {_binding_words(ref, role)} to {who}"
        return ""

    def _names(self, user: User, asked: Attributes) -> frozenset[str]:
        """The names of objects on which the user may do what is asked: EVERY, or only some."""
        names: set[str] = set()
        for rule in self._granted(user, asked.namespace):
            if not _has(rule.verbs, asked.verb):
                continue
            if not asked.is_resource:
                if matches_path(rule, asked.path):
                    return EVERY
                continue
            if _has(rule.groups, asked.group) and matches_resource(rule, asked.resource, asked.subresource):
                if not rule.names:
                    return EVERY
                names |= rule.names
        return frozenset(names)

    def _granted(self, user: User, namespace: str) -> Iterator[Rule]:
        for role in self.roles_of(user, namespace):
            yield from self.rules_of(role)

    def roles_of(self, user: User, namespace: str) -> list[Ref]:
        """The roles bound to the user cluster-wide and, with a namespace, in it."""
        found: dict[Ref, None] = {}
        for scope in ("", namespace) if namespace else ("",):
            for subject in subjects_of(user):
                found.update(dict.fromkeys(self._by_subject.get((scope, subject), {}).values()))
        return list(found)

    def has_role(self, role: Ref) -> bool:
        """Whether the role exists."""
        return role in self._roles

    def missing_roles(self, user: User, namespace: str) -> list[Ref]:
        """Roles that bindings name but that do not exist."""
        return [role for role in self.roles_of(user, namespace) if role not in self._roles]

    def rules_of(self, role: Ref) -> tuple[Rule, ...]:
        """The role's effective rules, aggregated ones included; none where it does not exist."""
        if role not in self._aggregates:
            return self._roles.get(role, ())
        known = self._effective.get(role)
        if known is None:
            known = self._effective[role] = compile_rules(self.aggregated(role))
        return known

    def raw_rules(self, role: Ref) -> list[Obj]:
        """The role's effective rules as they stand in objects."""
        return self.aggregated(role) if role in self._aggregates else self._raw.get(role, [])

    def is_aggregate(self, role: Ref) -> bool:
        """Whether the role's rules come from others."""
        return role in self._aggregates

    def aggregates(self) -> list[Ref]:
        """The roles whose rules come from others."""
        return list(self._aggregates)

    def aggregated(self, role: Ref) -> list[Obj]:
        """The rules of the roles that an aggregate chooses, by name of role, each rule once."""
        rules: list[Obj] = []
        for member in sorted(self._members(role, {role})):
            rules.extend(rule for rule in self._raw.get(member, ()) if rule not in rules)
        return rules

    def _members(self, role: Ref, seen: set[Ref]) -> set[Ref]:
        members: set[Ref] = set()
        for selector in self._aggregates[role]:
            for other, labels in self._labels.items():
                if other in seen or other[0] or not selector.matches(labels):
                    continue
                seen.add(other)
                members |= self._members(other, seen) if other in self._aggregates else {other}
        return members
