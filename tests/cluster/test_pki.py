"""Certificates are what Kubernetes expects, kept while they are good, and accepted by a TLS peer."""

import asyncio
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from minikube_py.cluster.pki import Pair, Pki, client_context, ensure, server_context, subjects

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ADDRESSES = ("127.0.0.1", "10.96.0.1", "10.244.0.1")
LEAVES = subjects("node-1", ADDRESSES, ("host.example",))


def certificate(pair: Pair) -> x509.Certificate:
    """The certificate of a pair."""
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def names(pair: Pair) -> set[str]:
    """The subject alternative names."""
    extension = certificate(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def everything(folder: Path) -> dict[str, bytes]:
    """The content of every file."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_and_their_modes(tmp_path: Path) -> None:
    """Keys are their owner's alone; certificates may be read."""
    ensure(tmp_path / "pki", LEAVES, NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()}
    pairs = (
        "admin",
        "apiserver",
        "apiserver-kubelet-client",
        "ca",
        "front-proxy-ca",
        "front-proxy-client",
        "kubelet",
    )
    assert modes == {f"{pair}.crt": 0o644 for pair in pairs} | {f"{pair}.key": 0o600 for pair in pairs} | {
        "sa.key": 0o600
    }


def test_names_of_the_api_server(tmp_path: Path) -> None:
    """Every name and address by which the API server is reached is in its certificate."""
    pki = ensure(tmp_path, LEAVES, NOW)
    assert names(pki.apiserver) == {
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "node-1",
        "host.example",
        *ADDRESSES,
    }
    assert names(pki.kubelet) == {"localhost", "node-1", "host.example", *ADDRESSES}


@pytest.mark.parametrize(
    ("file", "common_name", "organizations", "uses"),
    [
        ("apiserver", "kube-apiserver", [], {ExtendedKeyUsageOID.SERVER_AUTH}),
        ("admin", "kubernetes-admin", ["system:masters"], {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (
            "kubelet",
            "system:node:node-1",
            ["system:nodes"],
            {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
        ),
        (
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            [],
            {ExtendedKeyUsageOID.CLIENT_AUTH},
        ),
        ("front-proxy-client", "front-proxy-client", [], {ExtendedKeyUsageOID.CLIENT_AUTH}),
    ],
)
def test_subjects(
    tmp_path: Path, file: str, common_name: str, organizations: list[str], uses: set[x509.ObjectIdentifier]
) -> None:
    """Users, groups and uses are those that Kubernetes' authorization knows."""
    ensure(tmp_path, LEAVES, NOW)
    made = certificate(Pair(tmp_path / f"{file}.crt", tmp_path / f"{file}.key"))
    subject = made.subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [common_name]
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == organizations
    assert set(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses


def test_everything_is_kept_while_it_is_good(tmp_path: Path) -> None:
    """A second call, and one in half a year, changes no file."""
    ensure(tmp_path, LEAVES, NOW)
    before = everything(tmp_path)
    ensure(tmp_path, LEAVES, NOW)
    ensure(tmp_path, LEAVES, NOW + timedelta(days=180))
    assert everything(tmp_path) == before


def test_leaves_are_renewed_before_they_expire(tmp_path: Path) -> None:
    """Within 30 days of the end leaves are new; authorities and the ServiceAccount key stay."""
    ensure(tmp_path, LEAVES, NOW)
    before = everything(tmp_path)
    ensure(tmp_path, LEAVES, NOW + timedelta(days=340))
    kept = {name for name, data in everything(tmp_path).items() if before[name] == data}
    assert kept == {"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key"}


def test_other_names_make_another_certificate(tmp_path: Path) -> None:
    """A new address renews what must hold it, and nothing else."""
    ensure(tmp_path, LEAVES, NOW)
    before = everything(tmp_path)
    pki = ensure(tmp_path, subjects("node-1", (*ADDRESSES, "192.0.2.7")), NOW)
    changed = {name for name, data in everything(tmp_path).items() if before[name] != data}
    assert changed == {"apiserver.crt", "apiserver.key", "kubelet.crt", "kubelet.key"}
    assert "192.0.2.7" in names(pki.apiserver)


def test_a_new_authority_renews_what_it_signs(tmp_path: Path) -> None:
    """Without its authority's files every leaf is made anew under the new one."""
    pki = ensure(tmp_path, LEAVES, NOW)
    pki.ca.key.unlink()
    before = everything(tmp_path)
    ensure(tmp_path, LEAVES, NOW)
    changed = {name for name, data in everything(tmp_path).items() if before.get(name) != data}
    assert changed == {
        f"{pair}.{end}"
        for pair in ("ca", "apiserver", "apiserver-kubelet-client", "kubelet", "admin")
        for end in ("crt", "key")
    }
    certificate(pki.admin).verify_directly_issued_by(certificate(pki.ca))


def test_the_service_account_key_is_an_ec_key(tmp_path: Path) -> None:
    """It can be loaded for signing ES256."""
    pki = ensure(tmp_path, LEAVES, NOW)
    key = serialization.load_pem_private_key(pki.service_accounts.read_bytes(), None)
    assert key.curve.name == "secp256r1"  # type: ignore[union-attr]


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    """A certificate that cannot be read is not silently replaced."""
    pki = ensure(tmp_path, LEAVES, NOW)
    pki.admin.certificate.write_text("damaged")
    with pytest.raises(ValueError, match="PEM"):
        ensure(tmp_path, LEAVES, NOW)


async def common_name_seen(pki: Pki, client: ssl.SSLContext) -> str:
    """The client's common name that a server with our certificate sees ('' for none)."""
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peercert") or {}
        found = [value for entry in peer.get("subject", ()) for key, value in entry if key == "commonName"]
        seen.set_result(found[0] if found else "")
        writer.close()

    context = server_context(pki.apiserver, client_ca=pki.ca.certificate)
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="kubernetes.default.svc"
        )
        name = await seen
        writer.close()
        await writer.wait_closed()
    return name


async def test_tls_accepts_what_was_made(tmp_path: Path) -> None:
    """A client that trusts our authority connects by the Service's name, and is known by its certificate."""
    pki = ensure(tmp_path, LEAVES, datetime.now(UTC))
    ca = pki.ca.certificate
    assert await common_name_seen(pki, client_context(ca, pki.admin)) == "kubernetes-admin"
    assert await common_name_seen(pki, client_context(ca)) == ""


async def test_tls_refuses_another_authority(tmp_path: Path) -> None:
    """A client that trusts another authority does not connect."""
    pki = ensure(tmp_path, LEAVES, datetime.now(UTC))
    context = server_context(pki.apiserver)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1",
                server.sockets[0].getsockname()[1],
                ssl=client_context(pki.front_proxy_ca.certificate),
                server_hostname="localhost",
            )
