"""ClusterRoleBinding."""

from minikube_py.meta.kind import Kind

ClusterRoleBinding = Kind(
    "ClusterRoleBinding",
    "rbac.authorization.k8s.io/v1",
    "clusterrolebindings",
    namespaced=False,
)
