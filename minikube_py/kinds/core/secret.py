"""Secret."""

from minikube_py.meta.kind import Kind

Secret = Kind(
    "Secret",
    "v1",
    "secrets",
)
