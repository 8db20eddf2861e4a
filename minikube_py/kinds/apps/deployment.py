"""Deployment."""

from minikube_py.meta.kind import Kind

Deployment = Kind(
    "Deployment",
    "apps/v1",
    "deployments",
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
)
