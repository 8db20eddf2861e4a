"""Service."""

from minikube_py.meta.kind import Kind

Service = Kind(
    "Service",
    "v1",
    "services",
    short_names=("svc",),
    categories=("all",),
    subresources=("status", "proxy"),
)
