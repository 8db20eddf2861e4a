"""NodeRestriction: a node (user system:node:<name> in group system:nodes) writes only what is its own.

Its Node object and status (but not its taints, its owners, nor labels that are Kubernetes' own), mirror pods
that refer to nothing else, the status, eviction and deletion of pods bound to it, its lease and its CSINode,
the status of claims, and tokens of pods that run on it, for audiences that they ask for.
"""

from collections.abc import Callable

from minikube_py.apiserver.admission.base import Plugin, forbid, object_of
from minikube_py.apiserver.admission.node_audiences import refused_audience
from minikube_py.apiserver.admission.node_mirror_pods import mirror_pod_fault
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, dig, labels_of, name_of, owner_references, uid_of
from minikube_py.registry import faults
from minikube_py.registry.base import Attributes, User

NODES = "system:nodes"
PREFIX = "system:node:"
RESTRICTED = "node-restriction.kubernetes.io"
LEASES = "kube-node-lease"
KUBELET_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    )
)
KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


def node_of(user: User) -> str | None:
    """The node that the user is, or None where it is none."""
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def is_reserved(label: str) -> bool:
    """Whether a node may not set a label of its own: Kubernetes' labels, but for those that kubelets set."""
    domain = label.partition("/")[0] if "/" in label else ""
    if _within(domain, RESTRICTED):
        return True
    if not _within(domain, "kubernetes.io") and not _within(domain, "k8s.io"):
        return False
    return label not in KUBELET_LABELS and not any(_within(domain, known) for known in KUBELET_DOMAINS)


class NodeRestriction(Plugin):
    """Refuses what one node would write of another."""

    name = "NodeRestriction"
    operations = frozenset(("CREATE", "UPDATE", "DELETE"))
    plurals = ("nodes", "pods", "persistentvolumeclaims", "serviceaccounts", "leases.coordination.k8s.io")
    judged = frozenset((*plurals, "csinodes.storage.k8s.io"))

    def mutates(self, operation: str, resource: str) -> bool:
        return operation in self.operations and resource.partition("/")[0] in self.judged

    async def mutate(self, request: Attributes) -> None:
        """Refuses before others look at the object; changes nothing."""
        user = request.context.user
        if NODES not in user.groups:
            return
        node = node_of(user)
        if not node:
            raise forbid(request, f'could not determine node from user "{user.name}"')
        judges: dict[str, Callable[[Attributes, str], None]] = {
            "nodes": self._node,
            "pods": self._pod,
            "persistentvolumeclaims": self._claim,
            "leases": self._lease,
            "serviceaccounts": self._account,
            "csinodes": self._csi_node,
        }
        judges[request.kind.plural](request, node)

    def _node(self, request: Attributes, node: str) -> None:
        name = _name(request)
        if name != node:
            raise forbid(request, f'node "{node}" is not allowed to modify node "{name}"')
        if request.operation == "DELETE":
            return
        new, old = object_of(request), request.old or {}
        changed = _changed(labels_of(old), labels_of(new))
        denied = ", ".join(sorted(filter(is_reserved, changed)))
        if denied and request.operation == "CREATE":
            raise forbid(request, f'node "{node}" is not allowed to set the following labels: {denied}')
        if request.operation == "CREATE":
            return
        if (dig(new, "spec.taints") or []) != (dig(old, "spec.taints") or []):
            raise forbid(request, f'node "{node}" is not allowed to modify taints')
        if owner_references(new) != owner_references(old):
            raise forbid(request, f'node "{node}" is not allowed to modify ownerReferences')
        if denied:
            raise forbid(request, f"is not allowed to modify labels: {denied}")

    def _pod(self, request: Attributes, node: str) -> None:
        judges = {"": self._pod_itself, "status": self._pod_status, "eviction": self._eviction}
        judge = judges.get(request.subresource)
        if judge is None:
            raise forbid(
                request,
                f"unexpected pod subresource \"{request.subresource}\", only 'status' and 'eviction' are "
                "allowed",
            )
        judge(request, node)

    def _pod_itself(self, request: Attributes, node: str) -> None:
        if request.operation == "CREATE":
            known = self.lookup(Node, "", node)
            if why := mirror_pod_fault(object_of(request), node, known):
                raise forbid(request, why)
            if known is None:
                raise faults.not_found(Node, node)
            return
        if request.operation != "DELETE":
            raise forbid(
                request,
                f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror '
                "pods",
            )
        if dig(request.old, "spec.nodeName", "") != node:
            raise forbid(request, f'node "{node}" can only delete pods with spec.nodeName set to itself')

    def _pod_status(self, request: Attributes, node: str) -> None:
        new, old = object_of(request), request.old or {}
        if dig(old, "spec.nodeName", "") != node:
            raise forbid(
                request, f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
            )
        if labels_of(old) != labels_of(new):
            raise forbid(request, f'node "{node}" cannot update labels through pod status')
        claims = ("status.resourceClaimStatuses", "status.extendedResourceClaimStatus")
        if any((dig(old, path) or []) != (dig(new, path) or []) for path in claims):
            raise forbid(request, f'node "{node}" cannot update resource claim statues')

    def _eviction(self, request: Attributes, node: str) -> None:
        pod = self.lookup(Pod, request.namespace, _name(request))
        if pod is None:
            raise faults.not_found(Pod, _name(request))
        if dig(pod, "spec.nodeName", "") != node:
            raise forbid(request, f"node {node} can only evict pods with spec.nodeName set to itself")

    def _claim(self, request: Attributes, node: str) -> None:
        if request.subresource != "status":
            raise forbid(request, "may only update PVC status")
        if _settled(object_of(request)) != _settled(request.old or {}):
            raise forbid(
                request,
                f'node "{node}" is not allowed to update fields other than status.capacity and '
                "status.conditions",
            )

    def _lease(self, request: Attributes, node: str) -> None:
        if request.namespace != LEASES:
            raise forbid(request, f'can only access leases in the "{LEASES}" system namespace')
        if _name(request) != node:
            raise forbid(request, "can only access node lease with the same name as the requesting node")

    def _csi_node(self, request: Attributes, node: str) -> None:
        if _name(request) != node:
            raise forbid(request, "can only access CSINode with the same name as the requesting node")

    def _account(self, request: Attributes, node: str) -> None:
        if request.operation != "CREATE" or request.subresource != "token":
            return
        spec = object_of(request).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if bound.get("kind") != "Pod" or bound.get("apiVersion") != "v1" or not bound.get("name"):
            raise forbid(request, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise forbid(request, "node requested token with a pod binding without a uid")
        pod = self.lookup(Pod, request.namespace, bound["name"])
        if pod is None:
            raise faults.not_found(Pod, bound["name"])
        if uid_of(pod) != bound["uid"]:
            raise forbid(
                request,
                f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. The "
                "object might have been deleted and then recreated",
            )
        if dig(pod, "spec.nodeName", "") != node:
            raise forbid(request, "node requested token bound to a pod scheduled on a different node")
        if why := refused_audience(self.registry, self.authorizer, request, pod):
            raise forbid(request, why)


def _name(request: Attributes) -> str:
    """The object's name; one that is yet to be generated is nobody's."""
    return request.name or name_of(request.object or {})


def _changed(old: Obj, new: Obj) -> set[str]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _settled(claim: Obj) -> Obj:
    """What a node may not change of a claim."""
    status = {key: value for key, value in (claim.get("status") or {}).items() if key not in CLAIM_STATUS}
    meta = {k: v for k, v in claim["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {**claim, "metadata": meta, "status": status}
