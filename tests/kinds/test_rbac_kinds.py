"""Roles and their bindings."""

from typing import Any

import pytest
from kind_objects import ago, created, meta, refusals, row

from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.kinds.rbac.clusterrolebinding import ClusterRoleBinding
from minikube_py.kinds.rbac.role import Role
from minikube_py.kinds.rbac.rolebinding import RoleBinding
from minikube_py.meta.objects import Obj

GROUP = "rbac.authorization.k8s.io"
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
URLS = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}


def binding(role: str = "Role", **fields: Any) -> Obj:
    return {"metadata": meta(), "roleRef": {"kind": role, "name": "reader"}, **fields}


def test_roles() -> None:
    """A rule has verbs, groups and resources; only cluster roles speak of URLs."""
    assert refusals(Role, {"metadata": meta(), "rules": [RULE]}) == []
    assert refusals(Role, {"metadata": meta(), "rules": [{}]}) == [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ]
    assert refusals(Role, {"metadata": meta(), "rules": [URLS]}) == [
        'rules[0].nonResourceURLs: Invalid value: ["/metrics"]: '
        "namespaced rules cannot apply to non-resource URLs"
    ]
    assert refusals(ClusterRole, {"metadata": meta(), "rules": [URLS]}) == []
    assert refusals(ClusterRole, {"metadata": meta(), "rules": [{**URLS, **RULE}]}) == [
        'rules[0].nonResourceURLs: Invalid value: ["/metrics"]: '
        "rules cannot apply to both regular resources and non-resource URLs"
    ]
    assert row(Role, {"metadata": meta()}) == {"Name": "web", "Created At": ago(60)}


def test_binding_defaults_and_columns() -> None:
    """Users, groups and roles belong to the RBAC group; the table lists whom the role is granted to."""
    subjects = [
        {"kind": "User", "name": "jane"},
        {"kind": "Group", "name": "devs"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "ci"},
        {"kind": "User", "name": "joe"},
    ]
    stored = created(RoleBinding, binding(subjects=subjects))
    assert [subject.get("apiGroup") for subject in stored["subjects"]] == [GROUP, GROUP, None, GROUP]
    assert stored["roleRef"]["apiGroup"] == GROUP
    assert row(RoleBinding, stored) == {
        "Name": "web",
        "Role": "Role/reader",
        "Age": "60s",
        "Users": "jane, joe",
        "Groups": "devs",
        "ServiceAccounts": "ci/robot",
    }
    assert refusals(RoleBinding, stored) == []


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ({"kind": "ServiceAccount", "name": "robot"}, ["subjects[0].namespace: Required value"]),
        ({"kind": "User"}, ["subjects[0].name: Required value"]),
        (
            {"kind": "Robot", "name": "r"},
            [
                'subjects[0].kind: Unsupported value: "Robot": '
                'supported values: "ServiceAccount", "User", "Group"',
            ],
        ),
        (
            {"kind": "User", "name": "jane", "apiGroup": "other"},
            [f'subjects[0].apiGroup: Unsupported value: "other": supported values: "{GROUP}"'],
        ),
    ],
)
def test_subjects(subject: Obj, expected: list[str]) -> None:
    """A subject is a user, a group, or a ServiceAccount with its namespace."""
    assert refusals(RoleBinding, binding(subjects=[subject])) == expected


def test_role_references() -> None:
    """A binding keeps its role; one for the whole cluster takes cluster roles only."""
    old = created(RoleBinding, binding())
    moved = {**old, "roleRef": {**old["roleRef"], "name": "writer"}}
    assert [text.rpartition(": ")[2] for text in refusals(RoleBinding, moved, old)] == ["cannot change roleRef"]
    assert refusals(ClusterRoleBinding, binding("ClusterRole")) == []
    assert refusals(ClusterRoleBinding, binding("Role")) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'
    ]
