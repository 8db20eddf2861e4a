"""Tokens as clients use them: bound, kept in Secrets, for bootstrapping; and what is published about them."""

import asyncio
import base64
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl

from minikube_py.controllers.tokens import claims
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.objects import labels_of, uid_of
from minikube_py.registry.base import Context, DeleteOptions, User

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
API = "https://kubernetes.default.svc.cluster.local"


def account(cluster: Cluster) -> Any:
    return cluster.registry.decoded(cluster.registry.get(ServiceAccount, "default", "default"))


def encoded(**values: str) -> dict[str, str]:
    return {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in values.items()}


async def create(cluster: Cluster, kind: Any, namespace: str, obj: Any) -> Any:
    return cluster.registry.decoded(await cluster.registry.create(kind, namespace, obj, Context()))


async def whoami(cluster: Cluster, token: str) -> Any:
    answer = await cluster.client().post(WHOAMI, {}, Authorization=f"Bearer {token}")
    return answer["status"]["userInfo"] if answer.code == 201 else answer.code


async def test_kubectl_token_dies_with_its_pod(cluster: Cluster, kubectl: Kubectl) -> None:
    """`kubectl create token --bound-object-kind=Pod` is refused at once when the pod is gone."""
    body = {
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
    }
    pod = await create(cluster, Pod, "default", body)
    bound = ("--bound-object-kind=Pod", "--bound-object-name=p", f"--bound-object-uid={uid_of(pod)}")
    token = (await kubectl("create", "token", "default", *bound, "--duration=20m")).stdout.strip()
    alive = await whoami(cluster, token)
    await cluster.registry.delete(Pod, "default", "p", DeleteOptions(grace_period=0), Context())
    assert alive["extra"]["authentication.kubernetes.io/node-name"] == ["n1"]
    assert await whoami(cluster, token) == 401


async def test_kubectl_token_for_an_audience(cluster: Cluster, kubectl: Kubectl, admin: Client) -> None:
    """A token for another audience is none for the API, but is reviewed for that audience."""
    token = (await kubectl("create", "token", "default", "--audience=vault")).stdout.strip()
    plain = await admin.post(REVIEWS, {"spec": {"token": token}})
    vault = await admin.post(REVIEWS, {"spec": {"token": token, "audiences": ["vault", "x"]}})
    assert await whoami(cluster, token) == 401
    assert plain["status"] == {
        "user": {},
        "error": '[invalid bearer token, token audiences ["vault"] is invalid for the target audiences '
        f'["{API}"]]',
    }
    assert (vault["status"]["authenticated"], vault["status"]["audiences"]) == (True, ["vault"])


async def test_kubelets_tokens_live_on(cluster: Cluster) -> None:
    """A pod's own token of 3607 s lives a year, and says from when on it is stale."""
    bound = {"kind": "Pod", "name": "p", "uid": "u"}
    tokens = cluster.server.tokens
    issued, expires = tokens.issue("default", "default", "u", audiences=(), seconds=3607, bound=bound)
    found = tokens.verify(issued)
    assert found["exp"] - found["iat"] == 365 * 24 * 3600
    assert found["kubernetes.io"]["warnafter"] == int(expires.timestamp()) == found["iat"] + 3607


async def test_tokens_of_secrets(cluster: Cluster) -> None:
    """A token kept in a Secret works until the Secret goes; its Secret tells on which day it was used."""
    body = {"metadata": {"name": "old"}, "type": "Opaque"}
    secret = await create(cluster, Secret, "default", body)
    token = cluster.server.tokens.sign(claims(secret, account(cluster)))
    patched = {**secret, "data": encoded(token=token)}
    await cluster.registry.update(Secret, "default", "old", patched, Context())
    labelled = asyncio.Event()
    end = cluster.registry.follow(
        Secret, lambda s: labelled.set() if "last-used" in str(labels_of(s)) else None, lambda s: None
    )
    first = await whoami(cluster, token)
    await asyncio.wait_for(labelled.wait(), 5)
    end()
    await cluster.registry.delete(Secret, "default", "old", DeleteOptions(), Context())
    assert first["username"] == "system:serviceaccount:default:default"
    assert await whoami(cluster, token) == 401


GOOD = {
    "token_id": "abcdef",
    "token_secret": "0123456789abcdef",
    "usage_bootstrap_authentication": "true",
    "auth_extra_groups": "system:bootstrappers:workers",
    "expiration": "2099-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "token", "groups"),
    [
        ({}, "abcdef.0123456789abcdef", ["system:bootstrappers", "system:bootstrappers:workers"]),
        ({"auth_extra_groups": ""}, "abcdef.0123456789abcdef", ["system:bootstrappers"]),
        ({"auth_extra_groups": "system:masters"}, "abcdef.0123456789abcdef", None),
        ({"usage_bootstrap_authentication": "false"}, "abcdef.0123456789abcdef", None),
        ({"expiration": "2020-01-01T00:00:00Z"}, "abcdef.0123456789abcdef", None),
        ({"expiration": "soon"}, "abcdef.0123456789abcdef", None),
        ({"token_secret": "fedcba9876543210"}, "abcdef.0123456789abcdef", None),
        ({"token_id": "aaaaaa"}, "abcdef.0123456789abcdef", None),
        ({}, "zzzzzz.0123456789abcdef", None),
    ],
)
async def test_bootstrap_tokens(
    cluster: Cluster, change: dict[str, str], token: str, groups: list[str] | None
) -> None:
    """A bootstrap token is system:bootstrap:<id>, as long as its Secret allows it."""
    data = encoded(**{**GOOD, **change})
    body = {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": data,
    }
    await create(cluster, Secret, "kube-system", body)
    try:
        user, _ = cluster.server.authenticator.by_token(token, (API,))
        found: User | None = user
    except Exception:
        found = None
    expected = groups and ("system:bootstrap:abcdef", [*groups, "system:authenticated"])
    assert (found and (found.name, list(found.groups))) == expected


async def test_published_keys(cluster: Cluster, admin: Client) -> None:
    """The issuer's documents are for ServiceAccounts (and administrators), cacheable, and typed."""
    paths = ("/.well-known/openid-configuration", "/openid/v1/jwks")
    issuer, keys = [await admin.get(path) for path in paths]
    token = cluster.server.tokens.issue(
        "default", "default", uid_of(account(cluster)), audiences=(), seconds=600, bound=None
    )[0]
    robots = [await cluster.client().get(path, Authorization=f"Bearer {token}") for path in paths]
    refused = [await cluster.client("bob").get(path) for path in paths]
    assert issuer["jwks_uri"] == f"{API}/openid/v1/jwks"
    assert issuer["id_token_signing_alg_values_supported"] == [keys["keys"][0]["alg"]] == ["ES256"]
    assert keys.headers["Content-Type"] == "application/jwk-set+json"
    assert issuer.headers["Cache-Control"] == "public, max-age=3600"
    assert ([a.code for a in robots], [a.code for a in refused]) == ([200, 200], [403, 403])
