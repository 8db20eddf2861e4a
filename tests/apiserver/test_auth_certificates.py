"""Certificates that the cluster signs: asked for, approved, signed, and used."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_certificates import Pair
from api_cluster import Client, Cluster, Kubectl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from minikube_py.aio.clock import SystemClock
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import ControllerConfig
from minikube_py.controllers.certificates.requests import client_fault, kubelet_client_fault, serving_fault
from minikube_py.controllers.certificates.signing import validity
from minikube_py.controllers.csrapproving import CertificateApproving
from minikube_py.controllers.csrcleaner import ends_at
from minikube_py.controllers.csrsigning import CertificateSigning
from minikube_py.controllers.manager import ControllerManager
from minikube_py.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from minikube_py.meta.objects import condition, dig, name_of

CSR = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NODE_USAGES = ("digital signature", "client auth")


def request_for(
    name: str, *groups: str, names: tuple[x509.GeneralName, ...] = ()
) -> tuple[x509.CertificateSigningRequest, ec.EllipticCurvePrivateKey]:
    """A certificate request and the key that it is for."""
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()), key


def body(asked: x509.CertificateSigningRequest, name: str, signer: str, *usages: str, **spec: Any) -> Any:
    pem = base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()
    made = {"request": pem, "signerName": f"kubernetes.io/{signer}", "usages": list(usages), **spec}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": made,
    }


class Seen:
    """Waits for what becomes of requests."""

    def __init__(self, cluster: Cluster) -> None:
        self._known: dict[str, Any] = {}
        self._changed = asyncio.Event()
        self.end = cluster.registry.follow(CertificateSigningRequest, self._put, lambda obj: None)

    def _put(self, obj: Any) -> None:
        self._known[name_of(obj)] = obj
        self._changed.set()

    async def until(self, name: str, path: str) -> Any:
        """The value at `path` of a request's status, once there is one."""
        async with asyncio.timeout(8):
            while not (found := dig(self._known.get(name), f"status.{path}")):
                self._changed.clear()
                await self._changed.wait()
        return found


@pytest.fixture
async def seen(cluster: Cluster) -> AsyncIterator[Seen]:
    """The certificate controllers at work, and what becomes of requests."""
    authority = (cluster.authority.path.read_bytes(), cluster.authority.key_pem())
    config = ControllerConfig(authority=authority, allows=cluster.server.allows)
    chosen = (CertificateApproving, CertificateSigning)
    manager = ControllerManager(LocalClients(cluster.registry), SystemClock(), config, chosen)
    ready = asyncio.Event()
    task = asyncio.create_task(manager.run(ready))
    await ready.wait()
    seen = Seen(cluster)
    yield seen
    seen.end()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def client_with(cluster: Cluster, pem: str, key: ec.EllipticCurvePrivateKey) -> Client:
    pair = Pair(cluster.folder / "signed.crt", cluster.folder / "signed.key")
    pair.certificate.write_bytes(base64.b64decode(pem))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return Client(cluster.session, cluster.url, cluster.tls(pair))


async def test_approved_by_kubectl(cluster: Cluster, kubectl: Kubectl, seen: Seen) -> None:
    """What `kubectl certificate approve` approves is signed, and is good for as long as was asked."""
    asked, key = request_for("jane", "devs")
    wanted = body(asked, "jane", "kube-apiserver-client", "client auth", expirationSeconds=3600)
    await kubectl("create", "-f", "-", input=json.dumps(wanted))
    pending = (await kubectl("get", "csr", "jane", "--no-headers")).stdout
    await kubectl("certificate", "approve", "jane")
    await seen.until("jane", "certificate")
    pem = (await kubectl("get", "csr", "jane", "-o", "jsonpath={.status.certificate}")).stdout
    answer = await client_with(cluster, pem, key).post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    made = x509.load_pem_x509_certificate(base64.b64decode(pem))
    assert ("Pending" in pending, "kubectl-admin" in pending) == (True, True)
    assert answer["status"]["userInfo"]["username"] == "jane"
    assert answer["status"]["userInfo"]["groups"] == ["devs", "system:authenticated"]
    left = made.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(minutes=60)


async def test_denied_is_not_signed(kubectl: Kubectl, seen: Seen) -> None:
    """A request that was denied gets no certificate, nor can it be approved any more."""
    asked, _ = request_for("eve")
    wanted = body(asked, "eve", "kube-apiserver-client", "client auth")
    await kubectl("create", "-f", "-", input=json.dumps(wanted))
    await kubectl("certificate", "deny", "eve")
    late = await kubectl("certificate", "approve", "eve", check=False)
    shown = (await kubectl("get", "csr", "eve", "--no-headers")).stdout
    assert (late.code != 0, "Denied" in shown, "Issued" in shown) == (True, True, False)


async def test_refused_by_the_signer(admin: Client, kubectl: Kubectl, seen: Seen) -> None:
    """An approved request that its signer does not sign has failed, and says why."""
    asked, _ = request_for("server")
    await admin.post(CSR, body(asked, "server", "kube-apiserver-client", "server auth"))
    await kubectl("certificate", "approve", "server")
    await seen.until("server", "conditions")
    while (failed := condition(seen._known["server"], "Failed")) is None:
        seen._changed.clear()
        await asyncio.wait_for(seen._changed.wait(), 5)
    assert (failed["reason"], failed["message"]) == (
        "SignerValidationFailure",
        "invalid usage for client certificate: server auth",
    )


async def test_node_renews_its_certificate(cluster: Cluster, admin: Client, seen: Seen) -> None:
    """A node that may gets its next client certificate without anybody's approval."""
    role = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    rbac = "rbac.authorization.k8s.io"
    await admin.post(
        f"/apis/{rbac}/v1/clusterrolebindings",
        {
            "metadata": {"name": "renewal"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "system:nodes"}],
        },
    )
    asked, key = request_for("system:node:n1", "system:nodes")
    node = cluster.client("system:node:n1", "system:nodes")
    made = await node.post(CSR, body(asked, "n1", "kube-apiserver-client-kubelet", *NODE_USAGES))
    pem = await seen.until("n1", "certificate")
    lease = await client_with(cluster, pem, key).get("/api/v1/nodes/n1")
    assert (made.code, made["spec"]["username"], lease.code) == (201, "system:node:n1", 404)
    approved = condition(seen._known["n1"], "Approved") or {}
    assert approved["reason"] == "AutoApproved"


DNS, IP = x509.DNSName("n1"), x509.UniformResourceIdentifier("spiffe://x")
SERVE = ("digital signature", "key encipherment", "server auth")


@pytest.mark.parametrize(
    ("judge", "subject", "names", "usages", "fault"),
    [
        (client_fault, ("a",), (), ("client auth",), ""),
        (
            client_fault,
            ("a",),
            (),
            ("digital signature",),
            "missing required usage for client certificate: client auth",
        ),
        (client_fault, ("a",), (), ("cert sign",), "invalid usage for client certificate: cert sign"),
        (kubelet_client_fault, ("system:node:n", "system:nodes"), (), NODE_USAGES, ""),
        (
            kubelet_client_fault,
            ("system:node:n", "x"),
            (),
            NODE_USAGES,
            "subject organization is not system:nodes",
        ),
        (
            kubelet_client_fault,
            ("n", "system:nodes"),
            (),
            NODE_USAGES,
            "subject common name does not begin with system:node:",
        ),
        (
            kubelet_client_fault,
            ("system:node:n", "system:nodes"),
            (DNS,),
            NODE_USAGES,
            "DNS subjectAltNames are not allowed",
        ),
        (
            kubelet_client_fault,
            ("system:node:n", "system:nodes"),
            (),
            SERVE,
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (serving_fault, ("system:node:n", "system:nodes"), (DNS,), SERVE, ""),
        (serving_fault, ("system:node:n", "system:nodes"), (), SERVE, "DNS or IP subjectAltName is required"),
        (
            serving_fault,
            ("system:node:n", "system:nodes"),
            (DNS, IP),
            SERVE,
            "URI subjectAltNames are not allowed",
        ),
    ],
)
def test_what_signers_refuse(judge: Any, subject: Any, names: Any, usages: Any, fault: str) -> None:
    """Each signer signs only what it is for."""
    assert judge(request_for(*subject, names=names)[0], usages) == fault


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "end"),
    [
        (None, timedelta(days=365, minutes=-5)),
        (3600, timedelta(hours=1)),
        (1, timedelta(minutes=10)),
        (10**9, timedelta(days=365, minutes=-5)),
    ],
)
def test_validity(seconds: int | None, end: timedelta) -> None:
    """A certificate is valid as long as was asked, within bounds, and begins a little early."""
    assert validity(seconds, NOW, NOW + timedelta(days=4000)).end - NOW == end
    assert validity(seconds, NOW, NOW + timedelta(minutes=3)).end - NOW == timedelta(minutes=3)
    assert validity(seconds, NOW, NOW + timedelta(days=1)).begin == NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("conditions", "certificate", "hours"),
    [([], False, 24), (["Approved"], False, 25), (["Approved"], True, 2), (["Denied"], False, 2)],
)
def test_when_requests_are_removed(conditions: list[str], certificate: bool, hours: int) -> None:
    """Requests that are over go after an hour, others after a day."""
    authority, _ = request_for("x")
    builder = x509.CertificateBuilder(
        authority.subject,
        authority.subject,
        authority.public_key(),
        1,
        NOW.replace(tzinfo=None),
        (NOW + timedelta(days=2)).replace(tzinfo=None),
    )
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    status: dict[str, Any] = {
        "conditions": [
            {"type": t, "status": "True", "lastUpdateTime": "2026-01-01T01:00:00Z"} for t in conditions
        ]
    }
    if certificate:
        status["certificate"] = base64.b64encode(pem).decode()
    request = {"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": status}
    assert ends_at(request) == NOW + timedelta(hours=hours)
