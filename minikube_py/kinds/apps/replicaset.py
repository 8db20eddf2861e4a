"""ReplicaSet."""

from minikube_py.meta.kind import Kind

ReplicaSet = Kind(
    "ReplicaSet",
    "apps/v1",
    "replicasets",
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
)
