"""RoleBinding: grants a role's permissions in one namespace."""

from minikube_py.kinds.rbac.bindings import COLUMNS, default, validate_in_namespace
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import path_segment_name

RoleBinding = Kind(
    "RoleBinding",
    "rbac.authorization.k8s.io/v1",
    "rolebindings",
    default=default,
    name_rule=path_segment_name,
    create_on_update=True,
    validate=validate_in_namespace,
    columns=COLUMNS,
)
