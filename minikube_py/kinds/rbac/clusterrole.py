"""ClusterRole: permissions in the whole cluster."""

from minikube_py.kinds.columns import DEFAULT_COLUMNS
from minikube_py.kinds.rbac.rules import validate_cluster_role
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import path_segment_name

ClusterRole = Kind(
    "ClusterRole",
    "rbac.authorization.k8s.io/v1",
    "clusterroles",
    namespaced=False,
    name_rule=path_segment_name,
    create_on_update=True,
    validate=validate_cluster_role,
    columns=DEFAULT_COLUMNS,
)
