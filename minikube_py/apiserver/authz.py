"""Authorization: RBAC and the Node authorizer decide, members of system:masters may do everything.

Either may allow; nothing denies. The words of a refusal are Kubernetes' own, because clients and people match
on them.
"""

from typing import Any, NamedTuple

from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.node_authorizer import NODES, NodeAuthorizer, Opinion
from minikube_py.apiserver.rbac import Attributes, RbacIndex, Ref
from minikube_py.apiserver.request import LONGEST_SELECTOR, NO_QUERY, Query, RequestInfo
from minikube_py.errors import Forbidden
from minikube_py.meta import selectors
from minikube_py.registry.base import User

MASTERS = "system:masters"
_STREAMS = frozenset(("exec", "attach", "portforward"))
_SELECTED = frozenset(("list", "watch", "deletecollection"))


class Decision(NamedTuple):
    """Whether a request is allowed, and why (empty where there is nothing to say)."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides for users; `index` is kept current by its owner. Without `nodes` nodes are users like others."""

    def __init__(self, index: RbacIndex, metrics: ServerMetrics, nodes: NodeAuthorizer | None = None) -> None:
        self.index = index
        self._metrics = metrics
        self._nodes = nodes

    def allows(self, user: User, asked: Attributes) -> bool:
        """Whether `user` may do what is asked."""
        groups = user.groups
        if MASTERS in groups:
            return True
        if NODES in groups and self._nodes is not None and self._nodes.opinion(user, asked).allowed:
            return True
        return self.index.allows(user, asked)

    def require(self, user: User, asked: Attributes) -> None:
        """Raise Forbidden where the user may not do what is asked."""
        if not self.allows(user, asked):
            raise self.refused(user, asked, self.reason(user, asked))

    def refused(self, user: User, asked: Attributes, reason: str) -> Forbidden:
        """The refusal of what is asked, which is counted."""
        self._metrics.decisions.add(("RBAC", "denied"))
        return refusal(user, asked, reason)

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Whether `user` may do what is asked, and by which binding; slower than `allows`."""
        if MASTERS in user.groups:
            return Decision(True)
        if self._node_opinion(user, asked).allowed:
            return Decision(True)
        if self.index.allows(user, asked):
            return Decision(True, self.index.reason(user, asked))
        return Decision(False, self.reason(user, asked))

    def _node_opinion(self, user: User, asked: Attributes) -> Opinion:
        is_node = NODES in user.groups and self._nodes is not None
        return self._nodes.opinion(user, asked) if is_node and self._nodes is not None else Opinion(False)

    def reason(self, user: User, asked: Attributes) -> str:
        """Why what is asked is refused: what the Node authorizer says, and roles that are bound but missing;
        mostly empty."""
        reasons = [self._node_opinion(user, asked).reason]
        missing = [_not_found(role) for role in self.index.missing_roles(user, asked.namespace)]
        if missing:
            reasons.append(f"RBAC: {missing[0]}" if len(missing) == 1 else f"RBAC: [{', '.join(missing)}]")
        return "\n".join(reason for reason in reasons if reason)


def _not_found(role: Ref) -> str:
    resource = "role" if role[0] else "clusterrole"
    return f'{resource}.rbac.authorization.k8s.io "{role[1]}" not found'


def attributes_of(info: RequestInfo, query: Query = NO_QUERY) -> Attributes:
    """What a request asks to be allowed. Running things in a pod is `create`, whatever the HTTP method:
    WebSockets begin with GET."""
    if not info.is_resource:
        return Attributes(info.verb, path=info.path)
    verb = info.verb
    if info.subresource in _STREAMS and info.resource == "pods" and verb == "get":
        verb = "create"
    fields = field_requirements(query["fieldSelector"][0]) if "fieldSelector" in query else ()
    return Attributes(
        verb,
        info.group,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
        "",
        info.version,
        fields if verb in _SELECTED else (),
    )


def field_requirements(text: str) -> tuple[tuple[str, str, str], ...]:
    """A field selector as (path, `=` or `!=`, value); none where it cannot be parsed: what is not understood
    restricts nothing, nor does a long one."""
    if len(text) > LONGEST_SELECTOR:
        return ()
    try:
        found = selectors.parse_fields(text).requirements
    except ValueError:
        return ()
    return tuple((r.field, r.operator, r.value) for r in found)


def describe(user: User, asked: Attributes) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    who = f"User {quoted(user.name)} cannot {asked.verb}"
    if not asked.is_resource:
        return f"{who} path {quoted(asked.path)}"
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    what = f"{who} resource {quoted(resource)} in API group {quoted(asked.group)}"
    if asked.namespace:
        return f"{what} in the namespace {quoted(asked.namespace)}"
    return f"{what} at the cluster scope"


def refusal(user: User, asked: Attributes, reason: str = "") -> Forbidden:
    """The Forbidden that answers a request which is not allowed."""
    text = describe(user, asked) + (f": {reason}" if reason else "")
    if not asked.is_resource:
        return Forbidden(f"forbidden: {text}", details={})
    return forbidden(asked.group, asked.resource, asked.name, text)


def forbidden(group: str, resource: str, name: str, why: str) -> Forbidden:
    """`pods "x" is forbidden: why`, with the details that go with it."""
    qualified = f"{resource}.{group}" if group else resource
    details: dict[str, Any] = {"name": name, "group": group, "kind": resource}
    subject = f"{qualified} {quoted(name)}" if name else qualified
    return Forbidden(
        f"{subject} is forbidden: {why}", details={key: value for key, value in details.items() if value}
    )


def quoted(text: str) -> str:
    """`text` in double quotes, escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
