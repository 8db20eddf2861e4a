"""DefaultStorageClass: a claim that names no class gets the cluster's default one."""

from minikube_py.apiserver.admission.base import Plugin, object_of
from minikube_py.apiserver.admission.defaults import default_of
from minikube_py.kinds.core.accessmodes import CLASS_ANNOTATION
from minikube_py.kinds.storage.storageclass import StorageClass, is_default_class
from minikube_py.meta.objects import annotations_of, dig, name_of
from minikube_py.registry.base import Attributes


class DefaultStorageClass(Plugin):
    """Fills in spec.storageClassName; an empty one asks for no class, and stays."""

    name = "DefaultStorageClass"
    resources = frozenset(("persistentvolumeclaims",))

    async def mutate(self, request: Attributes) -> None:
        claim = object_of(request)
        if CLASS_ANNOTATION in annotations_of(claim) or dig(claim, "spec.storageClassName") is not None:
            return
        chosen = default_of(self.registry, StorageClass, is_default_class)
        if chosen is not None:
            claim.setdefault("spec", {})["storageClassName"] = name_of(chosen)
