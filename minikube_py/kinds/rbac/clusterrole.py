"""ClusterRole: permissions in the whole cluster."""

from minikube_py.kinds.columns import DEFAULT_COLUMNS
from minikube_py.kinds.rbac.rules import validate_cluster_role
from minikube_py.meta.kind import Kind

ClusterRole = Kind(
    "ClusterRole",
    "rbac.authorization.k8s.io/v1",
    "clusterroles",
    namespaced=False,
    create_on_update=True,
    validate=validate_cluster_role,
    columns=DEFAULT_COLUMNS,
)
