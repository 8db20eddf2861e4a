"""The pods that a node may create: mirrors of its own static pods, which refer to no other object. Pure."""

from minikube_py.apiserver.admission.references import config_maps_of, projected_sources, secrets_of
from minikube_py.kinds.podspec.resize import MIRROR
from minikube_py.meta.objects import Obj, annotations_of, dig, owner_references, uid_of


def mirror_pod_fault(pod: Obj, node: str, known: Obj | None) -> str:
    """Why `node` may not create the pod; empty where it may. `known` is the Node object, where there is one."""
    if MIRROR not in annotations_of(pod):
        return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if dig(pod, "spec.nodeName", "") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    return _owner_fault(pod, node, known) or _reference_fault(pod.get("spec") or {}, node)


def _owner_fault(pod: Obj, node: str, known: Obj | None) -> str:
    owners = owner_references(pod)
    only = f'node "{node}" can only create pods with'
    if len(owners) > 1:
        return f"{only} a single owner reference set to itself"
    if not owners:
        return f"{only} an owner reference set to itself"
    (owner,) = owners
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        return f"{only} an owner reference set to itself"
    if not owner.get("controller"):
        return f"{only} a controller owner reference set to itself"
    if owner.get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if known is not None and owner.get("uid") != uid_of(known):
        return f"node {node} UID mismatch: expected {owner.get('uid')} got {uid_of(known)}"
    return ""


def _reference_fault(spec: Obj, node: str) -> str:
    found = {
        "a service account": bool(spec.get("serviceAccountName")),
        "secrets": any(True for _ in secrets_of(spec)),
        "configmaps": any(True for _ in config_maps_of(spec)),
        "clustertrustbundles": any("clusterTrustBundle" in source for source in projected_sources(spec)),
        "persistentvolumeclaims": any(v.get("persistentVolumeClaim") for v in spec.get("volumes") or ()),
        "resourceclaims": bool(spec.get("resourceClaims")),
    }
    for what, referred in found.items():
        if referred:
            return f'node "{node}" can not create pods that reference {what}'
    return ""
