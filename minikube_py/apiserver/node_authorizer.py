"""The Node authorizer: a node (user system:node:<name>, group system:nodes) may read what its pods need.

Secrets, ConfigMaps, claims, volumes and ServiceAccounts count as a node's own while a pod bound to it refers
to them; what is no single object is judged by fixed rules. It says yes or has no opinion, so RBAC may still
allow. Pods are followed from the first question of a node on, so a cluster whose nodes run in this process
pays nothing. What a pod refers to is read from it when a node asks. Mirror pods lend a node nothing.
Source: "Using Node Authorization" and KEP-4601 of Kubernetes (v1.34).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from minikube_py.apiserver.bootstrap.component_roles import node_rules
from minikube_py.apiserver.rbac import Attributes, compile_rules, rule_allows
from minikube_py.errors import NotFound
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.resize import MIRROR
from minikube_py.kinds.storage.volumeattachment import VolumeAttachment
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, annotations_of, dig, name_of, namespace_of
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

NODES = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
_OWN_VERBS = ("get", "create", "update", "patch", "delete")
_SECRET_FIELDS = ("secretRef", "secretKeyRef", "nodePublishSecretRef")
_CONFIG_FIELDS = ("configMapRef", "configMapKeyRef")


class Opinion(NamedTuple):
    """Whether the node may; else why there is no opinion, as the client is told."""

    allowed: bool
    reason: str = ""


class Reference(NamedTuple):
    """What a pod refers to: a resource (plural) and a name in the pod's namespace."""

    resource: str
    name: str


ALLOWED, SILENT = Opinion(True), Opinion(False)
Judge = Callable[[str, Attributes], Opinion]


def references(pod: Obj) -> frozenset[Reference]:
    """What the pod needs of its namespace, as its spec names it."""
    spec = pod.get("spec") or {}
    account = spec.get("serviceAccountName") or ""
    found = {Reference("serviceaccounts", account)} if account else set[Reference]()
    found.update(Reference("secrets", r.get("name", "")) for r in spec.get("imagePullSecrets") or ())
    for containers in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(containers) or ():
            for field in ("env", "envFrom"):
                found.update(_named(container.get(field) or ()))
    for volume in spec.get("volumes") or ():
        found.update(_of_volume(pod, volume))
    for claim in spec.get("resourceClaims") or ():
        found.add(Reference("resourceclaims", claim.get("resourceClaimName") or ""))
    for status in dig(pod, "status.resourceClaimStatuses") or ():
        found.add(Reference("resourceclaims", status.get("resourceClaimName") or ""))
    return frozenset(reference for reference in found if reference.name)


def _of_volume(pod: Obj, volume: Obj) -> Iterator[Reference]:
    yield Reference("secrets", dig(volume, "secret.secretName") or "")
    yield Reference("secrets", dig(volume, "azureFile.secretName") or "")
    yield Reference("configmaps", dig(volume, "configMap.name") or "")
    yield Reference("persistentvolumeclaims", dig(volume, "persistentVolumeClaim.claimName") or "")
    if "ephemeral" in volume:
        yield Reference("persistentvolumeclaims", f"{name_of(pod)}-{volume.get('name', '')}")
    for source in dig(volume, "projected.sources") or ():
        yield Reference("secrets", dig(source, "secret.name") or "")
        yield Reference("configmaps", dig(source, "configMap.name") or "")
    yield from _named(volume)


def _named(value: Any) -> Iterator[Reference]:
    """The references by the usual field names, however deep."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if isinstance(below, Mapping) and (key in _SECRET_FIELDS or key in _CONFIG_FIELDS):
                resource = "secrets" if key in _SECRET_FIELDS else "configmaps"
                yield Reference(resource, below.get("name") or "")
            else:
                yield from _named(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _named(below)


def volume_secrets(volume: Obj) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the Secrets that a PersistentVolume needs on nodes and when it is attached."""
    claim_namespace = dig(volume, "spec.claimRef.namespace") or ""
    for source in (volume.get("spec") or {}).values():
        if not isinstance(source, Mapping):
            continue
        if source.get("secretName"):  # azureFile
            yield source.get("secretNamespace") or claim_namespace, source["secretName"]
        for key, reference in source.items():
            if key.lower().endswith("secretref") and isinstance(reference, Mapping):
                yield reference.get("namespace") or claim_namespace, reference.get("name") or ""


class NodeAuthorizer:
    """Judges the requests of nodes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._rules = compile_rules(node_rules())
        self._on: dict[str, set[tuple[str, str]]] = {}  # node > its pods
        self._where: dict[tuple[str, str], str] = {}
        self._unfollow: Callable[[], None] | None = None
        self._judges: dict[tuple[str, str], Judge] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
        }

    def close(self) -> None:
        """Follow pods no longer."""
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
            self._on.clear()
            self._where.clear()

    def opinion(self, user: User, asked: Attributes) -> Opinion:
        """What there is to say of a request by a member of system:nodes."""
        node = user.name.removeprefix(PREFIX) if user.name.startswith(PREFIX) else ""
        if not user.name.startswith(PREFIX):
            return SILENT
        if not node:
            return Opinion(False, f'unknown node for user "{user.name}"')
        judge = self._judges.get((asked.group, asked.resource)) if asked.is_resource else None
        if judge is not None:
            return judge(node, asked)
        return ALLOWED if any(rule_allows(rule, asked) for rule in self._rules) else SILENT

    # What each resource allows

    def _read(self, node: str, asked: Attributes) -> Opinion:
        if asked.verb not in ("get", "list", "watch"):
            return Opinion(False, "can only read resources of this type")
        if asked.subresource:
            return Opinion(False, "cannot read subresource")
        if not asked.namespace:
            return Opinion(False, "can only read namespaced object of this type")
        return self._related(node, asked)

    def _get(self, node: str, asked: Attributes) -> Opinion:
        if asked.verb != "get":
            return Opinion(False, "can only get individual resources of this type")
        if asked.subresource:
            return Opinion(False, "cannot get subresource")
        return self._related(node, asked)

    def _claim(self, node: str, asked: Attributes) -> Opinion:
        if asked.subresource != "status":
            return self._get(node, asked)
        if asked.verb not in ("update", "patch"):
            return Opinion(False, "can only get/update/patch this type")
        return self._related(node, asked)

    def _account(self, node: str, asked: Attributes) -> Opinion:
        if asked.verb == "get" and not asked.subresource:
            return self._related(node, asked)
        if asked.verb != "create" or not asked.name:
            return Opinion(False, "can only create tokens for individual service accounts")
        if asked.subresource != "token":
            return Opinion(False, "can only create token subresource of serviceaccount")
        return self._related(node, asked)

    def _lease(self, node: str, asked: Attributes) -> Opinion:
        if asked.verb not in _OWN_VERBS:
            return Opinion(False, "can only get, create, update, patch, or delete a node lease")
        if asked.namespace != LEASES:
            return Opinion(False, f'can only access leases in the "{LEASES}" system namespace')
        if asked.verb != "create" and asked.name != node:
            return Opinion(False, "can only access node lease with the same name as the requesting node")
        return ALLOWED

    def _csi_node(self, node: str, asked: Attributes) -> Opinion:
        if asked.verb not in _OWN_VERBS:
            return Opinion(False, "can only get, create, update, patch, or delete a CSINode")
        if asked.subresource:
            return Opinion(False, "cannot authorize CSINode subresources")
        if asked.verb != "create" and asked.name != node:
            return Opinion(False, "can only access CSINode with the same name as the requesting node")
        return ALLOWED

    def _node(self, node: str, asked: Attributes) -> Opinion:
        if asked.subresource:
            return ALLOWED if asked.subresource == "status" and asked.verb in ("update", "patch") else SILENT
        if asked.verb in ("create", "update", "patch"):
            return ALLOWED  # admission keeps it to its own
        if asked.verb not in ("get", "list", "watch"):
            return SILENT
        if asked.name == node:
            return ALLOWED
        which = f"'{asked.name}'" if asked.name else "all nodes"
        return Opinion(False, f"node '{node}' cannot read {which}, only its own Node object")

    def _pod(self, node: str, asked: Attributes) -> Opinion:
        verb, subresource = asked.verb, asked.subresource
        if not subresource and verb == "get":
            return self._get(node, asked)
        if not subresource and verb in ("list", "watch"):
            if ("spec.nodeName", "=", node) in asked.fields:
                return ALLOWED
            if asked.name:
                return self._related(node, asked)
            return Opinion(False, "can only list/watch pods with spec.nodeName field selector")
        allowed = {"": ("create", "delete"), "status": ("update", "patch"), "eviction": ("create",)}
        return ALLOWED if verb in allowed.get(subresource, ()) else SILENT

    # The graph: what is a node's own

    def _related(self, node: str, asked: Attributes) -> Opinion:
        if not asked.name:
            return Opinion(False, "No Object name found")
        if self._is_own(node, asked.resource, asked.namespace, asked.name):
            return ALLOWED
        return Opinion(False, f"no relationship found between node '{node}' and this object")

    def _is_own(self, node: str, resource: str, namespace: str, name: str) -> bool:
        if self._unfollow is None:
            self._unfollow = self._registry.follow(Pod, self._put, self._remove)
        if resource == "pods":
            return self._where.get((namespace, name)) == node
        if resource == "volumeattachments":
            found = self._found(VolumeAttachment, "", name)
            return found is not None and dig(found, "spec.nodeName") == node
        if resource == "persistentvolumes":
            return self._mounts(node, name) or self._attaches(node, name)
        if any(Reference(resource, name) in references(pod) for pod in self._pods(node, namespace)):
            return True
        return resource == "secrets" and self._needed_by_volume(node, (namespace, name))

    def _mounts(self, node: str, volume: str) -> bool:
        found = self._found(PersistentVolume, "", volume)
        claim = dig(found or {}, "spec.claimRef") or {}
        namespace, name = claim.get("namespace", ""), claim.get("name", "")
        return bool(name) and self._is_own(node, "persistentvolumeclaims", namespace, name)

    def _attaches(self, node: str, volume: str) -> bool:
        attachments = self._registry.list(VolumeAttachment, "").entries
        return any(
            dig(a, "spec.nodeName") == node and dig(a, "spec.source.persistentVolumeName") == volume
            for a in map(self._registry.decoded, attachments)
        )

    def _needed_by_volume(self, node: str, secret: tuple[str, str]) -> bool:
        for pod in self._pods(node, ""):
            for reference in references(pod):
                if reference.resource != "persistentvolumeclaims":
                    continue
                claim = self._found(PersistentVolumeClaim, namespace_of(pod), reference.name) or {}
                volume = self._found(PersistentVolume, "", dig(claim, "spec.volumeName") or "") or {}
                if secret in volume_secrets(volume):
                    return True
        return False

    def _pods(self, node: str, namespace: str) -> Iterable[Obj]:
        for key in self._on.get(node, ()):
            pod = self._found(Pod, *key) if not namespace or key[0] == namespace else None
            if pod is not None and MIRROR not in annotations_of(pod):
                yield pod

    def _found(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        try:
            return self._registry.decoded(self._registry.get(kind, namespace, name)) if name else None
        except NotFound:
            return None

    def _put(self, pod: Obj) -> None:
        key, node = (namespace_of(pod), name_of(pod)), dig(pod, "spec.nodeName") or ""
        if node and self._where.get(key) != node:
            self._where[key] = node
            self._on.setdefault(node, set()).add(key)

    def _remove(self, pod: Obj) -> None:
        key = (namespace_of(pod), name_of(pod))
        node = self._where.pop(key, "")
        left = self._on.get(node, set())
        left.discard(key)
        if not left:
            self._on.pop(node, None)
