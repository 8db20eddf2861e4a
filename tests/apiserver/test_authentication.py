"""Who may come in, as whom: certificates, tokens and what they are bound to, anonymous, impersonation."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from api_certificates import new_key
from api_cluster import Answer, Client, Cluster

from minikube_py.aio.clock import VirtualClock
from minikube_py.apiserver.authn import Authenticator
from minikube_py.apiserver.tokens import InvalidToken, ServiceAccountTokens
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.objects import uid_of
from minikube_py.registry.base import Context, DeleteOptions

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
API = "https://kubernetes.default.svc.cluster.local"


async def whoami(client: Client, **headers: str) -> Any:
    answer = await client.post(WHOAMI, {}, **headers)
    return answer["status"]["userInfo"] if answer.code == 201 else answer


def account(cluster: Cluster) -> Any:
    return cluster.registry.decoded(cluster.registry.get(ServiceAccount, "default", "default"))


def token_for(cluster: Cluster, *, seconds: int = 600, bound: Any = None, audiences: Any = ()) -> str:
    issue = cluster.server.tokens.issue
    uid = uid_of(account(cluster))
    return issue("default", "default", uid, audiences=audiences, seconds=seconds, bound=bound)[0]


async def test_certificate_names_user_and_groups(cluster: Cluster) -> None:
    """CN is the user, each O a group."""
    found = await whoami(cluster.client("jane", "a", "b"))
    assert (found["username"], found["groups"]) == ("jane", ["a", "b", "system:authenticated"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/healthz", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/version", 200),
        ("/metrics", 403),
        ("/api", 403),
        ("/readyz/ping", 403),
        ("/api/v1/namespaces/default/pods", 403),
        ("/api/v1/namespaces/kube-public/configmaps", 403),
        ("/api/v1/namespaces/kube-public/configmaps/cluster-info", 200),
    ],
)
async def test_without_credentials(cluster: Cluster, path: str, code: int) -> None:
    """Without credentials health, version and the cluster's address answer; what is below is open to those who
    may."""
    assert (await cluster.client().get(path)).code == code


ANONYMOUS_REFUSALS = [
    ("GET", "/", 'forbidden: User "system:anonymous" cannot get path "/"'),
    (
        "GET",
        "/api/v1/pods",
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster '
        "scope",
    ),
    (
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        'selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot create resource '
        '"selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope',
    ),
]


@pytest.mark.parametrize(("method", "path", "message"), ANONYMOUS_REFUSALS)
async def test_nobody_is_told_what_is_forbidden(cluster: Cluster, method: str, path: str, message: str) -> None:
    """A request without credentials is that of system:anonymous, whom roles refuse."""
    answer = await cluster.client().call(method, path, {} if method == "POST" else None)
    assert (answer.code, answer["reason"], answer["message"]) == (403, "Forbidden", message)


async def test_nobody_may_what_a_binding_says(cluster: Cluster, admin: Client) -> None:
    """What is bound to the group of the unauthenticated is open to all, and nobody becomes somebody by it."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"verbs": ["list"], "apiGroups": [""], "resources": ["nodes"]}]
    await admin.post(f"{rbac}/clusterroles", {"metadata": {"name": "open"}, "rules": rules})
    await admin.post(
        f"{rbac}/clusterrolebindings",
        {
            "metadata": {"name": "open"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "open"},
            "subjects": [
                {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:unauthenticated"}
            ],
        },
    )
    nobody = cluster.client()
    found = [(await nobody.get(f"/api/v1/{path}")).code for path in ("nodes", "pods")]
    as_admin = await nobody.get("/api/v1/nodes", Impersonate_User="admin")
    assert found == [200, 403]
    assert (as_admin.code, as_admin["message"]) == (
        403,
        'users "admin" is forbidden: User "system:anonymous" cannot impersonate resource "users" in API group '
        '"" at the cluster scope',
    )


@pytest.mark.parametrize("header", ["Bearer x", "Bearer a.b.c", "Bearer", "Basic eDp5", ""])
async def test_wrong_credentials(cluster: Cluster, header: str) -> None:
    """Wrong credentials are refused, even where none are needed."""
    answer = await cluster.client().get("/version", Authorization=header)
    assert (answer.code, answer["message"], answer["reason"]) == (401, "Unauthorized", "Unauthorized")


async def test_token_of_another_key(cluster: Cluster) -> None:
    """A token that another key signed is refused."""
    stranger = ServiceAccountTokens(new_key())
    uid = uid_of(account(cluster))
    token = stranger.issue("default", "default", uid, audiences=(), seconds=600, bound=None)[0]
    assert (await cluster.client().get("/version", Authorization=f"Bearer {token}")).code == 401


async def test_token_is_its_account(cluster: Cluster) -> None:
    """A token acts as its ServiceAccount, with the pod that it is bound to."""
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pod = cluster.registry.decoded(await cluster.registry.create(Pod, "default", body, Context()))
    token = token_for(cluster, bound={"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid_of(pod)})
    client = cluster.client()
    found = await whoami(client, Authorization=f"Bearer {token}")
    assert found["username"] == "system:serviceaccount:default:default"
    assert found["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    ]
    assert found["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    await cluster.registry.delete(Pod, "default", "p", DeleteOptions(grace_period=0), Context())
    assert (await whoami(client, Authorization=f"Bearer {token}")).code == 401


async def test_token_dies_with_its_account(cluster: Cluster) -> None:
    """A token of an account that was deleted, or made anew, is refused."""
    token, client = token_for(cluster), cluster.client()
    before = await client.get("/version", Authorization=f"Bearer {token}")
    await cluster.registry.delete(ServiceAccount, "default", "default", DeleteOptions(), Context())
    without = await client.get("/version", Authorization=f"Bearer {token}")
    await cluster.registry.create(ServiceAccount, "default", {"metadata": {"name": "default"}}, Context())
    renewed = await client.get("/version", Authorization=f"Bearer {token}")
    assert [before.code, without.code, renewed.code] == [200, 401, 401]


async def test_token_expires_and_has_an_audience(cluster: Cluster) -> None:
    """A token is good until it expires, for its audience only."""
    clock = VirtualClock()
    tokens = ServiceAccountTokens(new_key(), clock=clock)
    authenticator = Authenticator(cluster.registry, tokens, clock)
    uid = uid_of(account(cluster))
    token, expires = tokens.issue("default", "default", uid, audiences=("vault",), seconds=600, bound=None)
    assert (expires, authenticator.by_token(token, (API, "vault"))[1]) == (
        clock.now() + timedelta(seconds=600),
        ["vault"],
    )
    with pytest.raises(InvalidToken, match="is invalid for the target audiences"):
        authenticator.by_token(token, (API,))
    await clock.advance(600)
    with pytest.raises(InvalidToken, match="expired"):
        authenticator.by_token(token, ("vault",))


async def test_impersonation(cluster: Cluster, admin: Client) -> None:
    """Who may impersonate acts as the other; who may not is told what is missing."""
    as_jane = {"Impersonate_User": "jane", "Impersonate_Group": "devs", "Impersonate_Extra_scopes": "a"}
    found = await whoami(admin, **as_jane)
    assert found == {"username": "jane", "groups": ["devs", "system:authenticated"], "extra": {"scopes": ["a"]}}
    robot = await whoami(admin, Impersonate_User="system:serviceaccount:ns:robot")
    assert robot["groups"] == ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
    refused = await whoami(cluster.client("bob"), **as_jane)
    assert (refused.code, refused["message"]) == (
        403,
        'users "jane" is forbidden: User "bob" cannot impersonate resource "users" in API '
        'group "" at the cluster scope',
    )
    alone: Answer = await whoami(admin, Impersonate_Group="devs")
    assert (alone.code, "without impersonating a user" in alone["message"]) == (500, True)


async def test_token_review(cluster: Cluster, admin: Client) -> None:
    """TokenReview tells whose a token is, or that it is none."""
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    good = await admin.post(path, {"spec": {"token": token_for(cluster)}})
    bad = await admin.post(path, {"spec": {"token": "x"}})
    assert good["status"]["user"]["username"] == "system:serviceaccount:default:default"
    assert bad["status"] == {"user": {}, "error": "invalid bearer token"}


async def test_access_reviews(cluster: Cluster, admin: Client) -> None:
    """Access reviews answer as requests would be decided."""
    root = "/apis/authorization.k8s.io/v1"
    asked = {"verb": "list", "resource": "pods", "namespace": "default"}
    own = [
        (await client.post(f"{root}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}}))[
            "status"
        ]
        for client in (admin, cluster.client("bob"))
    ]
    other = await admin.post(
        f"{root}/subjectaccessreviews",
        {
            "spec": {
                "user": "bob",
                "nonResourceAttributes": {"path": "/api", "verb": "get"},
                "groups": ["system:authenticated"],
            }
        },
    )
    rules = await cluster.client("bob").post(
        f"{root}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}
    )
    unclear = await admin.post(f"{root}/selfsubjectaccessreviews", {"spec": {}})
    assert own == [{"allowed": True}, {"allowed": False}]
    assert other["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
        'to Group "system:authenticated"',
    }
    assert "/api" in str(rules["status"]["nonResourceRules"])
    assert unclear.code == 422


async def test_a_plain_client_hello_is_answered(cluster: Cluster) -> None:
    """A TLS 1.2 client that names no signature algorithms (busybox's wget) gets a ServerHello."""
    groups, points = bytes.fromhex("000a00060004001d0017"), bytes.fromhex("000b00020100")
    body = b"\x03\x03" + bytes(32) + b"\x00" + bytes.fromhex("0004c02bc02f") + b"\x01\x00"
    body += len(groups + points).to_bytes(2) + groups + points
    hello = b"\x01" + len(body).to_bytes(3) + body
    reader, writer = await asyncio.open_connection(*cluster.server.addresses[0])
    writer.write(b"\x16\x03\x01" + len(hello).to_bytes(2) + hello)
    answer = await reader.readexactly(6)
    writer.close()
    assert (answer[0], answer[5]) == (0x16, 0x02)  # a handshake record, not an alert; the ServerHello in it
