"""StorageObjectInUseProtection: volumes and claims are not gone before nobody uses them any more.

The finalizers are taken away by the controllers that know who uses what.
"""

from minikube_py.apiserver.admission.base import Plugin, object_of
from minikube_py.kinds.core.protection import CLAIM_PROTECTION, VOLUME_PROTECTION
from minikube_py.registry.base import Attributes

FINALIZERS = {
    "persistentvolumeclaims": CLAIM_PROTECTION,
    "persistentvolumes": VOLUME_PROTECTION,
}


class StorageObjectInUseProtection(Plugin):
    """Gives new volumes and claims their finalizer."""

    name = "StorageObjectInUseProtection"
    resources = frozenset(FINALIZERS)

    async def mutate(self, request: Attributes) -> None:
        finalizer, meta = FINALIZERS[request.kind.resource], object_of(request)["metadata"]
        known = meta.get("finalizers") or []
        if finalizer not in known:
            meta["finalizers"] = [*known, finalizer]
