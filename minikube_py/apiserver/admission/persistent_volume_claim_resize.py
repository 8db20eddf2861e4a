"""PersistentVolumeClaimResize: a claim grows only where its class says that its volumes can."""

from fractions import Fraction

from minikube_py.apiserver.admission.base import Plugin, forbid, object_of
from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import parse_quantity
from minikube_py.registry.base import Attributes


class PersistentVolumeClaimResize(Plugin):
    """Refuses growth that the StorageClass does not allow."""

    name = "PersistentVolumeClaimResize"
    operations = frozenset(("UPDATE",))
    resources = frozenset(("persistentvolumeclaims",))

    async def validate(self, request: Attributes) -> None:
        new, old = object_of(request), request.old or {}
        if _size(new) <= _size(old):
            return
        if dig(old, "status.phase") != "Bound":
            raise forbid(request, "Only bound persistent volume claims can be expanded")
        name = storage_class_of(new)
        if not name or name != storage_class_of(old) or not self._expands(name):
            raise forbid(
                request,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize",
            )

    def _expands(self, name: str) -> bool:
        chosen = self.lookup(StorageClass, "", name)
        return chosen is not None and bool(chosen.get("allowVolumeExpansion"))


def _size(claim: Obj) -> Fraction:
    return parse_quantity((dig(claim, "spec.resources.requests") or {}).get("storage", "0"))
