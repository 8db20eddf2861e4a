"""NodeRestriction: a node (user system:node:<name> in group system:nodes) writes only what is its own.

Its Node object and status (but not its taints, nor labels below node-restriction.kubernetes.io), mirror pods
and the status and deletion of pods bound to it, its lease, and tokens of pods that run on it.
"""

from collections.abc import Callable

from minikube_py.apiserver.admission.base import Plugin, forbid, object_of
from minikube_py.apiserver.admission.service_account import MIRROR
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, annotations_of, dig, labels_of, name_of, uid_of
from minikube_py.registry.base import Attributes, User

NODES = "system:nodes"
PREFIX = "system:node:"
RESTRICTED = "node-restriction.kubernetes.io"
LEASES = "kube-node-lease"


def node_of(user: User) -> str | None:
    """The node that the user is, or None where it is none."""
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


class NodeRestriction(Plugin):
    """Refuses what one node would write of another."""

    name = "NodeRestriction"
    operations = frozenset(("CREATE", "UPDATE", "DELETE"))
    resources = frozenset(
        (
            "nodes",
            "nodes/status",
            "pods",
            "pods/status",
            "pods/eviction",
            "leases.coordination.k8s.io",
            "serviceaccounts/token",
        )
    )

    async def validate(self, request: Attributes) -> None:
        node = node_of(request.context.user)
        if node is None:
            return
        judges: dict[str, Callable[[Attributes, str], None]] = {
            "nodes": self._node,
            "pods": self._pod,
            "leases": self._lease,
            "serviceaccounts": self._token,
        }
        judges[request.kind.plural](request, node)

    def _node(self, request: Attributes, node: str) -> None:
        name = request.name or name_of(request.object or {})
        if name != node:
            raise forbid(request, f'node "{node}" is not allowed to modify node "{name}"')
        if request.operation == "DELETE":
            raise forbid(request, f'node "{node}" cannot delete its own node')
        new, old = object_of(request), request.old or {}
        changed = _changed(labels_of(old), labels_of(new))
        denied = sorted(key for key in changed if _prefix(key).endswith(RESTRICTED))
        if denied:
            raise forbid(request, f"is not allowed to modify labels: {', '.join(denied)}")
        if request.operation == "UPDATE" and dig(new, "spec.taints", []) != dig(old, "spec.taints", []):
            raise forbid(request, f'node "{node}" is not allowed to modify taints')

    def _pod(self, request: Attributes, node: str) -> None:
        if request.operation == "CREATE" and not request.subresource:
            self._mirror_pod(request, node)
            return
        pod = request.old or self.lookup(Pod, request.namespace, request.name) or {}
        if dig(pod, "spec.nodeName", "") != node:
            raise forbid(
                request, f'node "{node}" can only {_verb(request)} pods with spec.nodeName set to itself'
            )
        if request.subresource == "status" and labels_of(pod) != labels_of(object_of(request)):
            raise forbid(request, f'node "{node}" cannot update labels through pod status')

    def _mirror_pod(self, request: Attributes, node: str) -> None:
        pod = object_of(request)
        if MIRROR not in annotations_of(pod):
            raise forbid(
                request, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            )
        if dig(pod, "spec.nodeName", "") != node:
            raise forbid(request, f'node "{node}" can only create pods with spec.nodeName set to itself')

    def _lease(self, request: Attributes, node: str) -> None:
        if request.namespace != LEASES:
            raise forbid(request, f'can only access leases in the "{LEASES}" system namespace')
        name = request.name or name_of(request.object or {})
        if name != node:
            raise forbid(request, "can only access node lease with the same name as the requesting node")

    def _token(self, request: Attributes, node: str) -> None:
        bound = dig(object_of(request), "spec.boundObjectRef") or {}
        if bound.get("kind") != "Pod" or not bound.get("uid"):
            raise forbid(request, "node requested token not bound to a pod")
        pod = self.lookup(Pod, request.namespace, bound.get("name", "")) or {}
        if uid_of(pod) != bound["uid"]:
            raise forbid(request, "the UID in the bound object reference does not match the UID in record")
        if dig(pod, "spec.nodeName", "") != node:
            raise forbid(request, "node requested token bound to a pod scheduled on a different node")


def _verb(request: Attributes) -> str:
    if request.subresource == "eviction":
        return "evict"
    if request.operation == "DELETE":
        return "delete"
    return "update status for" if request.subresource == "status" else "update"


def _changed(old: Obj, new: Obj) -> set[str]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _prefix(label: str) -> str:
    return label.rpartition("/")[0]
