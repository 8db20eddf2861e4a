"""Reviews as people and programs ask for them: can-i in its forms, whoami, reasons, and refusals of reviews."""

import asyncio
import json
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl
from kubernetes import client as kube
from kubernetes.client import Configuration

from minikube_py.apiserver.rbac import Attributes, RbacIndex
from minikube_py.registry.base import User

RBAC = "rbac.authorization.k8s.io"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
MANIFEST = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules:
- {apiGroups: [""], resources: [pods, pods/log], verbs: [get, list]}
- {apiGroups: [""], resources: [configmaps], resourceNames: [one], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}
- {kind: ServiceAccount, name: default, namespace: default}
"""


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("get", "pods"), "yes"),
        (("get", "pods", "--subresource=log"), "yes"),
        (("delete", "pods"), "no"),
        (("get", "pods", "-n", "kube-system"), "no"),
        (("get", "configmaps/one"), "yes"),
        (("get", "configmaps"), "no"),
        (("get", "/api"), "yes"),
        (("get", "/metrics"), "no"),
        (("list", "deployments.apps", "-A"), "no"),
    ],
)
async def test_kubectl_can_i(kubectl: Kubectl, arguments: tuple[str, ...], answer: str) -> None:
    """`kubectl auth reconcile` brings roles about; `kubectl auth can-i` answers by them."""
    await kubectl("auth", "reconcile", "-f", "-", input=MANIFEST)
    again = await kubectl("auth", "reconcile", "-f", "-", input=MANIFEST)
    found = await kubectl("auth", "can-i", *arguments, "--as=jane", check=False)
    assert (found.stdout.strip().splitlines()[-1], again.code) == (answer, 0)


async def test_kubectl_lists_rules_and_whoami(kubectl: Kubectl) -> None:
    """`can-i --list` shows the rules of a namespace, `whoami` the user."""
    await kubectl("auth", "reconcile", "-f", "-", input=MANIFEST)
    listed = (await kubectl("auth", "can-i", "--list", "--as=jane", "-n", "default")).stdout
    shown = (await kubectl("auth", "whoami", "--as=jane", "--as-group=devs", "-o", "json")).stdout
    everything = (await kubectl("auth", "can-i", "*", "*", "-A")).stdout
    rows = [" ".join(line.split()) for line in listed.splitlines()]
    assert "pods [] [] [get list]" in rows
    assert "configmaps [] [one] [get]" in rows
    assert any("/healthz" in row for row in rows)
    assert json.loads(shown)["status"]["userInfo"] == {
        "username": "jane",
        "groups": ["devs", "system:authenticated"],
    }
    assert everything.strip().splitlines()[-1] == "yes"


async def test_python_client_asks(cluster: Cluster, kubectl: Kubectl) -> None:
    """The public Python client is told whether, and by which binding."""
    await kubectl("auth", "reconcile", "-f", "-", input=MANIFEST)
    pair = cluster.authority.issue("admin", "system:masters")
    configuration = Configuration(host=cluster.url)
    configuration.ssl_ca_cert = str(cluster.authority.path)
    configuration.cert_file, configuration.key_file = str(pair.certificate), str(pair.key)

    def ask() -> Any:
        with kube.ApiClient(configuration) as api:
            asked = kube.V1ResourceAttributes(namespace="default", verb="list", resource="pods")
            user = "system:serviceaccount:default:default"
            spec = kube.V1SubjectAccessReviewSpec(user=user, resource_attributes=asked)
            review = kube.V1SubjectAccessReview(spec=spec)
            return kube.AuthorizationV1Api(api).create_subject_access_review(review).status

    status = await asyncio.to_thread(ask)
    assert (status.allowed, status.denied, status.reason) == (
        True,
        None,
        'RBAC: allowed by RoleBinding "readers/default" of Role "reader" to ServiceAccount "default/default"',
    )


PODS = {"verb": "list", "resource": "pods", "namespace": "default"}


@pytest.mark.parametrize(
    ("path", "spec", "messages"),
    [
        (
            "selfsubjectaccessreviews",
            {},
            [
                'spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or '
                "resourceAttributes must be specified"
            ],
        ),
        (
            "subjectaccessreviews",
            {"resourceAttributes": PODS},
            ['spec.user: Invalid value: "": at least one of user or group must be specified'],
        ),
        (
            "subjectaccessreviews",
            {"user": "a", "resourceAttributes": PODS, "nonResourceAttributes": {"path": "/", "verb": "get"}},
            ["spec.nonResourceAttributes: ", "cannot be specified in combination with resourceAttributes"],
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            {"user": "a", "resourceAttributes": PODS | {"namespace": "other"}},
            ['spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace'],
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            {"user": "a", "nonResourceAttributes": {"path": "/", "verb": "get"}},
            ["disallowed on this kind of request"],
        ),
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": PODS | {"fieldSelector": {}}},
            ["spec.resourceAttributes.fieldSelector.requirements: Required value: when"],
        ),
        (
            "selfsubjectaccessreviews",
            {
                "resourceAttributes": PODS
                | {"labelSelector": {"requirements": [{"key": "a", "operator": "In"}]}}
            },
            ["must be specified when `operator` is 'In' or 'NotIn'"],
        ),
    ],
)
async def test_wrong_reviews(admin: Client, path: str, spec: Any, messages: list[str]) -> None:
    """A review that asks wrongly is refused with the field and the words of Kubernetes."""
    answer = await admin.post(f"{AUTHORIZATION}/{path}", {"spec": spec})
    assert answer.code == 422
    assert [message for message in messages if message not in answer["message"]] == []


@pytest.mark.parametrize(
    ("accept", "code", "begin"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io", 406, "only the following media types are accepted"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io, application/json", 201, ""),
        ("application/yaml", 201, ""),
    ],
)
async def test_no_table_of_a_review(admin: Client, accept: str, code: int, begin: str) -> None:
    """A review is shown as an object, in JSON or YAML, and in no Table."""
    body = {"spec": {"resourceAttributes": PODS}}
    answer = await admin.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", body, Accept=accept)
    told = answer["message"] if code == 406 else ""
    assert (answer.code, told[: len(begin)]) == (code, begin)
    assert answer.headers["Content-Type"].partition(";")[0].endswith(accept[-4:] if code == 201 else "json")


async def test_selectors_decide_for_nodes(admin: Client) -> None:
    """A review with a field selector is decided as the list with that selector would be."""
    found = []
    for selector in (
        {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
        {"rawSelector": "spec.nodeName=n1"},
        {"rawSelector": "spec.nodeName=n2"},
    ):
        spec = {
            "user": "system:node:n1",
            "groups": ["system:nodes"],
            "resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": selector},
        }
        answer = await admin.post(f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})
        found.append(answer["status"])
    assert found == [
        {"allowed": True},
        {"allowed": True},
        {"allowed": False, "reason": "can only list/watch pods with spec.nodeName field selector"},
    ]


async def test_nobody_grants_what_he_lacks(cluster: Cluster, kubectl: Kubectl) -> None:
    """A user who may write roles can grant only what he has himself."""
    manage = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "manage"},
        "rules": [{"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["create"]}],
    }
    await kubectl("create", "-f", "-", input=json.dumps(manage))
    await kubectl("create", "clusterrolebinding", "manage", "--clusterrole=manage", "--user=jane")
    role = {
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    path = f"/apis/{RBAC}/v1/namespaces/default/roles"
    refused = await cluster.client("jane").post(path, role)
    await kubectl("create", "clusterrole", "secrets", "--verb=get", "--resource=secrets")
    await kubectl("create", "clusterrolebinding", "secrets", "--clusterrole=secrets", "--user=jane")
    granted = await cluster.client("jane").post(path, role)
    assert (refused.code, granted.code) == (403, 201)
    assert refused["message"] == (
        f'roles.{RBAC} "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant '
        'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )


INDEX = RbacIndex()
for _binding, _kind, _role in (
    ("b", "ClusterRole", "wide"),
    ("a", "ClusterRole", "wide"),
    ("c", "Role", "own"),
):
    _namespace = "ns" if _kind == "Role" else ""
    INDEX.set_role(
        {
            "metadata": {"name": _role, "namespace": _namespace},
            "rules": [{"verbs": ["get" if _namespace else "list"], "apiGroups": [""], "resources": ["pods"]}],
        }
    )
    INDEX.set_binding(
        {
            "metadata": {"name": _binding, "namespace": _namespace},
            "roleRef": {"kind": _kind, "name": _role},
            "subjects": [{"kind": "Group", "name": "devs"}],
        }
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            Attributes("list", resource="pods", namespace="ns"),
            'RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "wide" to Group "devs"',
        ),
        (
            Attributes("get", resource="pods", namespace="ns"),
            'RBAC: allowed by RoleBinding "c/ns" of Role "own" to Group "devs"',
        ),
        (Attributes("get", resource="pods", namespace="other"), ""),
    ],
)
def test_reasons(asked: Attributes, reason: str) -> None:
    """The reason names the first binding by which it is allowed, cluster-wide ones first."""
    assert INDEX.reason(User("bob", groups=("devs",)), asked) == reason
