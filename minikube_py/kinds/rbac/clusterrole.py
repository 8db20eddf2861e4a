"""ClusterRole."""

from minikube_py.meta.kind import Kind

ClusterRole = Kind(
    "ClusterRole",
    "rbac.authorization.k8s.io/v1",
    "clusterroles",
    namespaced=False,
)
