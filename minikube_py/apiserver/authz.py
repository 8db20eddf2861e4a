"""Authorization: RBAC decides, members of system:masters may do everything, and a refusal says what is missing.

The words of a refusal are Kubernetes' own, because clients and people match on them.
"""

from typing import Any

from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.rbac import Attributes, RbacIndex, Ref
from minikube_py.apiserver.request import RequestInfo
from minikube_py.errors import Forbidden
from minikube_py.registry.base import User

MASTERS = "system:masters"
_STREAMS = frozenset(("exec", "attach", "portforward"))


class Authorizer:
    """Decides for users; `index` is kept current by its owner."""

    def __init__(self, index: RbacIndex, metrics: ServerMetrics) -> None:
        self.index = index
        self._metrics = metrics

    def allows(self, user: User, asked: Attributes) -> bool:
        """Whether `user` may do what is asked."""
        return MASTERS in user.groups or self.index.allows(user, asked)

    def require(self, user: User, asked: Attributes) -> None:
        """Raise Forbidden where the user may not do what is asked."""
        if self.allows(user, asked):
            return
        self._metrics.decisions.add(("RBAC", "denied"))
        raise refusal(user, asked, self.reason(user, asked))

    def reason(self, user: User, asked: Attributes) -> str:
        """Why it might have been allowed: the roles that are bound but missing; mostly empty."""
        missing = [_not_found(role) for role in self.index.missing_roles(user, asked.namespace)]
        if not missing:
            return ""
        return f"RBAC: {missing[0]}" if len(missing) == 1 else f"RBAC: [{', '.join(missing)}]"


def _not_found(role: Ref) -> str:
    resource = "role" if role[0] else "clusterrole"
    return f'{resource}.rbac.authorization.k8s.io "{role[1]}" not found'


def attributes_of(info: RequestInfo) -> Attributes:
    """What a request asks to be allowed. Running things in a pod is `create`, whatever the HTTP method:
    WebSockets begin with GET."""
    if not info.is_resource:
        return Attributes(info.verb, path=info.path)
    verb = info.verb
    if info.subresource in _STREAMS and info.resource == "pods" and verb == "get":
        verb = "create"
    return Attributes(
        verb, info.group, info.resource, info.subresource, info.namespace, info.name, "", info.version
    )


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
