"""RoleBinding."""

from minikube_py.meta.kind import Kind

RoleBinding = Kind(
    "RoleBinding",
    "rbac.authorization.k8s.io/v1",
    "rolebindings",
)
