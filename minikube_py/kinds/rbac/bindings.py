"""What RoleBinding and ClusterRoleBinding share."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.strategy import if_empty
from minikube_py.meta.kind import Column, Violation
from minikube_py.meta.names import dns1123_subdomain
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import invalid, not_supported, required

GROUP = "rbac.authorization.k8s.io"


def default(binding: Obj) -> None:
    if binding.get("roleRef"):
        if_empty(binding["roleRef"], "apiGroup", GROUP)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            if_empty(subject, "apiGroup", GROUP)


def validate_in_namespace(binding: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a RoleBinding."""
    return _validate(binding, old, ("ClusterRole", "Role"))


def validate_in_cluster(binding: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a ClusterRoleBinding."""
    return _validate(binding, old, ("ClusterRole",))


def _validate(binding: Obj, old: Obj | None, roles: Sequence[str]) -> Iterable[Violation]:
    role = binding.get("roleRef") or {}
    if role.get("apiGroup") != GROUP:
        yield not_supported("roleRef.apiGroup", role.get("apiGroup") or "", (GROUP,))
    if role.get("kind") not in roles:
        yield not_supported("roleRef.kind", role.get("kind") or "", roles)
    if not role.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(binding.get("subjects") or ()):
        yield from _check_subject(subject, f"subjects[{index}]")
    if old is not None and role != (old.get("roleRef") or {}):
        yield invalid("roleRef", role, "cannot change roleRef")


def _check_subject(subject: Obj, path: str) -> Iterable[Violation]:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        for reason in dns1123_subdomain(name) if name else ():
            yield invalid(f"{path}.name", name, reason)
        if group:
            yield not_supported(f"{path}.apiGroup", group, ("",))
        if not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield not_supported(f"{path}.apiGroup", group, (GROUP,))
    else:
        yield not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def _role(binding: Obj, now: datetime) -> str:
    return f"{dig(binding, 'roleRef.kind', '')}/{dig(binding, 'roleRef.name', '')}"


def _subjects(kind: str) -> Any:
    def cell(binding: Obj, now: datetime) -> str:
        found = (s for s in binding.get("subjects") or () if s.get("kind") == kind)
        return ", ".join(_subject(subject) for subject in found)

    return cell


def _subject(subject: Obj) -> str:
    name = str(subject.get("name", ""))
    return f"{subject.get('namespace', '')}/{name}" if subject.get("kind") == "ServiceAccount" else name


COLUMNS = (
    NAME,
    Column("Role", _role, description="The role that is granted"),
    AGE,
    Column("Users", _subjects("User"), priority=1, description="Users it is granted to"),
    Column("Groups", _subjects("Group"), priority=1, description="Groups it is granted to"),
    Column(
        "ServiceAccounts",
        _subjects("ServiceAccount"),
        priority=1,
        description="ServiceAccounts it is granted to",
    ),
)
