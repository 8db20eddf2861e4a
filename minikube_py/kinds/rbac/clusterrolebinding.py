"""ClusterRoleBinding: grants a role's permissions in the whole cluster."""

from minikube_py.kinds.rbac.bindings import COLUMNS, default, validate_in_cluster
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import path_segment_name

ClusterRoleBinding = Kind(
    "ClusterRoleBinding",
    "rbac.authorization.k8s.io/v1",
    "clusterrolebindings",
    namespaced=False,
    default=default,
    name_rule=path_segment_name,
    create_on_update=True,
    validate=validate_in_cluster,
    columns=COLUMNS,
)
