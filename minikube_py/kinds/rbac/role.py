"""Role."""

from minikube_py.meta.kind import Kind

Role = Kind(
    "Role",
    "rbac.authorization.k8s.io/v1",
    "roles",
)
