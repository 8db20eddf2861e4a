"""For which audiences a node may ask tokens: those that the pod's volumes or its CSI drivers name (KEP-2907).

The verb `request-serviceaccounts-token-audience` on an audience allows others.
"""

from collections.abc import Iterator

from minikube_py.apiserver.admission.base import object_of
from minikube_py.apiserver.admission.references import projected_sources
from minikube_py.apiserver.authz import Authorizer
from minikube_py.apiserver.rbac import Attributes as Asked
from minikube_py.errors import NotFound
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.registry.base import Attributes
from minikube_py.registry.resource import Registry

VERB = "request-serviceaccounts-token-audience"


def refused_audience(registry: Registry, authorizer: Authorizer, request: Attributes, pod: Obj) -> str:
    """Why the node may not have the token that it asks for; empty where it may."""
    audiences = dig(object_of(request), "spec.audiences") or [""]
    if len(audiences) > 1:
        return "node may only request 0 or 1 audiences"
    (audience,) = audiences
    spec, user = pod.get("spec") or {}, request.context.user
    named = ((s["serviceAccountToken"] or {}).get("audience", "") for s in projected_sources(spec) if _token(s))
    if audience in named or audience in _of_drivers(registry, request.namespace, pod):
        return ""
    asked = Asked(VERB, "", audience, "", request.namespace, request.name)
    if authorizer.allows(user, asked):
        return ""
    return (
        f'audience "{audience}" not found in pod spec volume, {user.name} is not authorized to request tokens '
        "for this audience"
    )


def _token(source: Obj) -> bool:
    return source.get("serviceAccountToken") is not None


def _of_drivers(registry: Registry, namespace: str, pod: Obj) -> Iterator[str]:
    for volume in dig(pod, "spec.volumes") or ():
        driver = dig(volume, "csi.driver") or ""
        claim = dig(volume, "persistentVolumeClaim.claimName")
        if volume.get("ephemeral") is not None:
            claim = f"{name_of(pod)}-{volume.get('name', '')}"
        if claim:
            bound = dig(_find(registry, PersistentVolumeClaim, namespace, claim), "spec.volumeName")
            driver = dig(_find(registry, PersistentVolume, "", bound), "spec.csi.driver") if bound else ""
        if driver:
            for asked in dig(_find(registry, CSIDriver, "", driver), "spec.tokenRequests") or ():
                yield asked.get("audience") or ""


def _find(registry: Registry, kind: Kind, namespace: str, name: str) -> Obj:
    try:
        return registry.decoded(registry.get(kind, namespace, name))
    except NotFound:
        return {}
