"""Lease."""

from minikube_py.meta.kind import Kind

Lease = Kind(
    "Lease",
    "coordination.k8s.io/v1",
    "leases",
)
