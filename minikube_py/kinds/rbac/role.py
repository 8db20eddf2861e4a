"""Role: permissions in one namespace."""

from minikube_py.kinds.columns import DEFAULT_COLUMNS
from minikube_py.kinds.rbac.rules import validate_role
from minikube_py.meta.kind import Kind

Role = Kind(
    "Role",
    "rbac.authorization.k8s.io/v1",
    "roles",
    create_on_update=True,
    validate=validate_role,
    columns=DEFAULT_COLUMNS,
)
