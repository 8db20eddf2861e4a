"""RbacEscalation: nobody grants what they do not have, unless the verbs `escalate` and `bind` allow it.

A role may hold only rules that its writer's own rules cover; a binding may only refer to a role that its writer
may `bind`, or whose rules the writer has. Source: "Using RBAC Authorization", privilege escalation prevention.
"""

from collections.abc import Iterable, Iterator

from minikube_py.apiserver.admission.base import WRITES, Plugin, forbid, name_in, object_of
from minikube_py.apiserver.authz import MASTERS
from minikube_py.apiserver.rbac import Attributes as Asked
from minikube_py.apiserver.rbac import Rule, compile_rules
from minikube_py.errors import NotFound
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes, User

GROUP = "rbac.authorization.k8s.io"
_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


class RbacEscalation(Plugin):
    """Compares what a role or binding grants with what its writer has."""

    name = "RbacEscalation"
    operations = WRITES
    resources = frozenset(
        f"{plural}.{GROUP}" for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    )

    async def validate(self, request: Attributes) -> None:
        if MASTERS in request.context.user.groups or _only_collected(object_of(request), request.old):
            return
        if request.kind.plural in ("roles", "clusterroles"):
            self._role(request)
        else:
            self._binding(request)

    def _role(self, request: Attributes) -> None:
        new, old = object_of(request), request.old or {}
        user = request.context.user
        asked = Asked("escalate", GROUP, request.kind.plural, "", request.namespace, name_in(request))
        if self.authorizer.allows(user, asked):
            return
        if new.get("aggregationRule") or old.get("aggregationRule"):
            everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            everything.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
            self._require(request, everything)
        self._require(request, new.get("rules") or [])

    def _binding(self, request: Attributes) -> None:
        reference = object_of(request).get("roleRef") or {}
        plural = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        name = reference.get("name", "")
        asked = Asked("bind", GROUP, plural, "", request.namespace, name)
        if self.authorizer.allows(request.context.user, asked):
            return
        role = ("" if plural == "clusterroles" else request.namespace, name)
        if not self.authorizer.index.has_role(role):
            raise NotFound(
                f'{plural}.{GROUP} "{name}" not found', details={"name": name, "group": GROUP, "kind": plural}
            )
        self._require(request, self.authorizer.index.raw_rules(role))

    def _require(self, request: Attributes, rules: list[Obj]) -> None:
        user = request.context.user
        index = self.authorizer.index
        own = [rule for role in index.roles_of(user, request.namespace) for rule in index.rules_of(role)]
        missing = [rule for rule in rules if not covers(own, rule)]
        if missing:
            shown = "\n".join(sorted(_shown(rule) for rule in missing))
            raise forbid(
                request,
                f"{_who(user)} is attempting to grant RBAC permissions not currently held:\n{shown}",
            )


def _only_collected(new: Obj, old: Obj | None) -> bool:
    """Whether an update changes at most what the garbage collector goes by. A label is more than that: it may
    hand a role's rules to an aggregated role."""
    return old is not None and _settled(new) == _settled(old)


def _settled(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _COLLECTED and value}
    return {**{key: value for key, value in obj.items() if value}, "metadata": metadata}


def covers(own: Iterable[Rule], wanted: Obj) -> bool:
    """Whether each single permission in the rule `wanted` is held by one of the rules `own`."""
    held = list(own)
    return all(any(_holds(rule, single) for rule in held) for single in _singles(wanted))


def _singles(wanted: Obj) -> Iterator[Rule]:
    rule = compile_rules([wanted])[0]
    for verb in rule.verbs:
        verbs = frozenset((verb,))
        for url in rule.urls:
            yield Rule(verbs, frozenset(), frozenset(), frozenset(), (url,))
        for group in rule.groups:
            for resource in rule.resources:
                for name in rule.names or ("",):
                    names = frozenset((name,)) if name else frozenset[str]()
                    yield Rule(verbs, frozenset((group,)), frozenset((resource,)), names, ())


def _holds(rule: Rule, single: Rule) -> bool:
    if not _within(single.verbs, rule.verbs):
        return False
    if single.urls:
        url = single.urls[0]
        return any(
            own in ("*", url) or (own.endswith("*") and url.startswith(own.rstrip("*"))) for own in rule.urls
        )
    if not _within(single.groups, rule.groups):
        return False
    (resource,) = single.resources
    any_of_sub = f"*/{resource.partition('/')[2]}" if "/" in resource else ""
    if not ({"*", resource, any_of_sub} & rule.resources):
        return False
    return not rule.names or (bool(single.names) and single.names <= rule.names)


def _within(single: frozenset[str], own: frozenset[str]) -> bool:
    return "*" in own or single <= own


def _who(user: User) -> str:
    groups = ", ".join(f'"{group}"' for group in user.groups)
    return f'user "{user.name}" (groups=[{groups}])'


def _shown(rule: Obj) -> str:
    fields = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    )
    parts = []
    for title, field in fields:
        if rule.get(field):
            values = ", ".join(f'"{value}"' for value in rule[field])
            parts.append(f"{title}:[{values}]")
    return "{" + ", ".join(parts) + "}"
