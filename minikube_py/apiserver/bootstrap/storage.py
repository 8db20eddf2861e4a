"""The StorageClass that a new cluster has as its default. It is the user's from then on: changed or deleted, it
stays so. That it was made is noted on the namespace kube-system.
"""

import contextlib

from minikube_py.errors import AlreadyExists
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.storage.localpath import CLASS, PROVISIONER
from minikube_py.kinds.storage.storageclass import DEFAULT_ANNOTATIONS, StorageClass
from minikube_py.meta.objects import Obj, annotations_of, copy
from minikube_py.registry.base import Context
from minikube_py.registry.resource import Registry

MADE = "minikube-py.io/storage-class"
"""The annotation of kube-system that names the class which was made."""


def storage_class() -> Obj:
    """Volumes on the node of the first pod that uses them, deleted with their claim."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {DEFAULT_ANNOTATIONS[0]: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


async def ensure_storage_class(registry: Registry) -> None:
    """Create the class, once in the cluster's life."""
    context = Context(field_manager="kube-apiserver")
    namespace = registry.decoded(registry.get(Namespace, "", "kube-system"))
    if MADE in annotations_of(namespace):
        return
    with contextlib.suppress(AlreadyExists):  # by a start that was killed before it said so, or by the user
        await registry.create(StorageClass, "", storage_class(), context)
    noted = copy(namespace)
    noted["metadata"]["annotations"] = {**annotations_of(namespace), MADE: CLASS}
    await registry.update(Namespace, "", "kube-system", noted, context)
