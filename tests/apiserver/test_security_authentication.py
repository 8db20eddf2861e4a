"""Forged credentials: tokens, headers and certificates that name somebody whom they must not name."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from api_cluster import Client, Cluster
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rights import grant, rule

from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.registry.base import Context

ISSUER = "https://kubernetes.default.svc.cluster.local"
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
Claims = dict[str, Any]


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(cluster: Cluster, claims: Claims, alg: str = "none") -> str:
    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims)}."


def by_public_key(cluster: Cluster, claims: Claims) -> str:
    """HS256 with the bytes that everybody knows as its secret."""
    public = cluster.server.tokens._public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def with_own_key(cluster: Cluster, claims: Claims) -> str:
    """Signed by a key that the token itself brings along."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    brought = {"kty": "EC", "crv": "P-256", "x": str(numbers.x), "y": str(numbers.y)}
    headers = {"kid": "../../dev/null", "jwk": brought, "jku": "https://127.0.0.1/keys"}
    return jwt.encode(claims, key, algorithm="ES256", headers=headers)


def changed(**change: Any) -> Callable[[Cluster, Claims], str]:
    """A token that the cluster's key has signed, with other claims."""
    return lambda cluster, claims: cluster.server.tokens.sign({**claims, **change})


def tampered(cluster: Cluster, claims: Claims) -> str:
    head, _, signature = cluster.server.tokens.sign(claims).split(".")
    return f"{head}.{part({**claims, 'sub': 'system:admin'})}.{signature}"


FORGED: dict[str, Callable[[Cluster, Claims], str]] = {
    "alg none": unsigned,
    "alg None": lambda c, claims: unsigned(c, claims, "None"),
    "alg HS256 by the public key": by_public_key,
    "a key of its own": with_own_key,
    "another payload": tampered,
    "another audience": changed(aud=["vault"]),
    "no audience": changed(aud=[]),
    "another issuer": changed(iss="https://evil.example.com"),
    "expired": changed(exp=1),
    "not yet valid": changed(nbf=4102444800),
    "no private claims": changed(**{"kubernetes.io": {}}),
    "another account": changed(
        **{"kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "no", "uid": "x"}}}
    ),
    "another uid": changed(
        **{"kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "default", "uid": "x"}}}
    ),
    "the old issuer": changed(iss="kubernetes/serviceaccount"),
    "two dots": lambda c, claims: "..",
    "a long one": lambda c, claims: "a" * 60_000,
}


@pytest.fixture
async def claims(cluster: Cluster) -> Claims:
    """The claims of a good token of the ServiceAccount default."""
    account = cluster.registry.decoded(cluster.registry.get(ServiceAccount, "default", "default"))
    uid = account["metadata"]["uid"]
    issued, _ = cluster.server.tokens.issue("default", "default", uid, audiences=(), seconds=600, bound=None)
    found: Claims = cluster.server.tokens.verify(issued)
    return found


@pytest.mark.parametrize("name", FORGED)
async def test_forged_tokens(cluster: Cluster, claims: Claims, name: str) -> None:
    """A good token names its account; a forged one is refused, whatever it is forged by."""
    good = await cluster.client().post(WHOAMI, {}, Authorization=f"Bearer {cluster.server.tokens.sign(claims)}")
    token = FORGED[name](cluster, claims)
    bad = await cluster.client().post(WHOAMI, {}, Authorization=f"Bearer {token}")
    assert (good.code, bad.code, bad["message"]) == (201, 401, "Unauthorized")


async def test_tokens_without_audience_are_for_this_server(cluster: Cluster, admin: Client) -> None:
    """A bootstrap token is no credential for those who ask with an audience of their own."""
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
    }
    body = {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    await cluster.registry.create(Secret, "kube-system", body, Context())
    token = "abcdef.0123456789abcdef"
    found = []
    for audiences in ([], [ISSUER], ["vault", ISSUER], ["vault"]):
        answer = await admin.post(REVIEWS, {"spec": {"token": token, "audiences": audiences}})
        status = answer["status"]
        found.append((status.get("authenticated"), status.get("audiences")))
    assert found == [(True, [ISSUER]), (True, [ISSUER]), (True, [ISSUER]), (None, None)]


SPOOFED = [
    {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"},
    {"X_Remote_User": "admin", "X_Remote_Group": "system:masters"},
    {"Impersonate_User": "admin", "Impersonate_Group": "system:masters"},
]


@pytest.mark.parametrize("headers", SPOOFED, ids=lambda headers: next(iter(headers)))
async def test_headers_name_nobody(cluster: Cluster, headers: dict[str, str]) -> None:
    """Headers that say who asks mean nothing without a proxy's certificate, nor do their look-alikes."""
    found = []
    for client, token in ((cluster.client("bob"), {}), (cluster.client(), {})):
        async with client.request("GET", "/api/v1/secrets", headers={**headers, **token}) as response:
            found.append(response.status)
    assert found == [403, 403]


IMPERSONATED = [
    ({"Impersonate-User": "jane"}, 201),
    ({"Impersonate-User": "jane", "Impersonate-Group": "system:masters"}, 403),
    ({"Impersonate-Group": "system:masters"}, 500),
    ({"Impersonate-Extra-Scopes": "x"}, 500),
    ({"Impersonate-Uid": "x"}, 500),
    ({"Impersonate-User": "jane", "Impersonate-Extra-Scopes": "x"}, 403),
    ({"Impersonate-User": "jane", "Impersonate-Uid": "x"}, 403),
    ({"Impersonate-User": "other"}, 403),
    ({"Impersonate-User": "system:serviceaccount:kube-system:default"}, 403),
    ({"Impersonate-User": "system:node:n1"}, 403),
    ([("Impersonate-User", "jane"), ("Impersonate-User", "other")], 201),
    ([("Impersonate-User", "other"), ("Impersonate-User", "jane")], 403),
    ({"impersonate-user": "jane", "IMPERSONATE-GROUP": "system:masters"}, 403),
]


async def test_impersonation_is_limited(cluster: Cluster, admin: Client) -> None:
    """Who may impersonate one user becomes that user, without groups, uid or extras besides."""
    await grant(admin, "bob", rule("impersonate", "users", resourceNames=["jane"]))
    bob, found = cluster.client("bob"), []
    for headers, _ in IMPERSONATED:
        async with bob.request("POST", WHOAMI, json={}, headers=headers) as response:
            body = await response.json()
            who = body["status"]["userInfo"] if response.status == 201 else {}
            found.append((headers, response.status))
            assert (who.get("username"), who.get("groups")) in (
                (None, None),
                ("jane", ["system:authenticated"]),
            )
    assert found == IMPERSONATED


async def test_certificates_of_nobody(cluster: Cluster) -> None:
    """A certificate without a common name names nobody."""
    nameless = cluster.authority.issue("", "system:masters")
    client = Client(cluster.session, cluster.url, cluster.tls(nameless))
    assert (await client.get("/api")).code == 401
