"""Namespace."""

from minikube_py.meta.kind import Kind

Namespace = Kind(
    "Namespace",
    "v1",
    "namespaces",
    short_names=("ns",),
    namespaced=False,
    subresources=("status", "finalize"),
)
