"""Role: permissions in one namespace."""

from minikube_py.kinds.columns import DEFAULT_COLUMNS
from minikube_py.kinds.rbac.rules import validate_role
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import path_segment_name

Role = Kind(
    "Role",
    "rbac.authorization.k8s.io/v1",
    "roles",
    name_rule=path_segment_name,
    create_on_update=True,
    validate=validate_role,
    columns=DEFAULT_COLUMNS,
)
