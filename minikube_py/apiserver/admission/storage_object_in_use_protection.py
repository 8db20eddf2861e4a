"""StorageObjectInUseProtection: volumes, claims and the classes of their attributes stay while they are used.

The finalizers are taken away by the controllers that know who uses what.
"""

from minikube_py.apiserver.admission.base import Plugin, object_of
from minikube_py.kinds.core.protection import ATTRIBUTES_PROTECTION, CLAIM_PROTECTION, VOLUME_PROTECTION
from minikube_py.registry.base import Attributes

FINALIZERS = {
    "persistentvolumeclaims": CLAIM_PROTECTION,
    "persistentvolumes": VOLUME_PROTECTION,
    "volumeattributesclasses.storage.k8s.io": ATTRIBUTES_PROTECTION,
}


class StorageObjectInUseProtection(Plugin):
    """Gives each of them its finalizer when it is made."""

    name = "StorageObjectInUseProtection"
    resources = frozenset(FINALIZERS)

    async def mutate(self, request: Attributes) -> None:
        finalizer, meta = FINALIZERS[request.kind.resource], object_of(request)["metadata"]
        known = meta.get("finalizers") or []
        if finalizer not in known:
            meta["finalizers"] = [*known, finalizer]
