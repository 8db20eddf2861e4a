"""PKI: the cluster's certificate authorities, and the certificates and keys of its components.

EC P-256 throughout. Made once and kept: a leaf is made anew only when it expires within 30 days, when the
names it must hold change, or when its authority changed; keys are 0600, certificates 0644, each file replaced
atomically. File names are kubeadm's (kubernetes.io, "PKI certificates and requirements").
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
BACKDATE = timedelta(minutes=5)  # for clients whose clock is behind


@dataclass(frozen=True, slots=True)
class Pair:
    """The paths of a certificate and its key (PEM)."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Subject:
    """What a leaf is issued for: file name, common name, organizations, what it may do, names and addresses."""

    file: str
    common_name: str
    organizations: tuple[str, ...] = ()
    server: bool = False
    client: bool = False
    names: tuple[str, ...] = ()  # DNS names and IP addresses


@dataclass(frozen=True, slots=True)
class Pki:
    """Every path of the cluster's PKI; `ensure` makes the files."""

    folder: Path

    def _pair(self, name: str) -> Pair:
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    @property
    def ca(self) -> Pair:
        """The cluster's authority: signs the API server's, the kubelet's and clients' certificates."""
        return self._pair("ca")

    @property
    def front_proxy_ca(self) -> Pair:
        """The authority of the front proxy (API aggregation)."""
        return self._pair("front-proxy-ca")

    @property
    def apiserver(self) -> Pair:
        return self._pair("apiserver")

    @property
    def apiserver_kubelet_client(self) -> Pair:
        return self._pair("apiserver-kubelet-client")

    @property
    def front_proxy_client(self) -> Pair:
        return self._pair("front-proxy-client")

    @property
    def kubelet(self) -> Pair:
        """The kubelet's certificate, both for serving and as the client system:node:<name>."""
        return self._pair("kubelet")

    @property
    def admin(self) -> Pair:
        """The administrator's client certificate (system:masters), for the user's kubeconfig."""
        return self._pair("admin")

    @property
    def service_accounts(self) -> Path:
        """The key (PEM, PKCS#8) that signs ServiceAccount tokens."""
        return self.folder / "sa.key"


def subjects(node: str, addresses: Sequence[str], extra: Sequence[str] = ()) -> tuple[Subject, ...]:
    """The leaves that the cluster's own authority issues. `addresses` are the API server's and kubelet's IPs
    (the `kubernetes` Service's, the gateway, loopback), `extra` further names that clients may use."""
    inside = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    everywhere = ("localhost", node, *addresses, *extra)
    return (
        Subject("apiserver", "kube-apiserver", server=True, names=(*inside, *everywhere)),
        Subject("apiserver-kubelet-client", "kube-apiserver-kubelet-client", client=True),
        Subject(
            "kubelet", f"system:node:{node}", ("system:nodes",), server=True, client=True, names=everywhere
        ),
        Subject("admin", "kubernetes-admin", ("system:masters",), client=True),
    )


FRONT_PROXY = Subject("front-proxy-client", "front-proxy-client", client=True)


def ensure(folder: Path, leaves: Sequence[Subject], now: datetime) -> Pki:
    """Make what is missing or due below `folder`. Errors: OSError, ValueError (a damaged file)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(folder)
    for pair, name, issued in (
        (pki.ca, "minikube-py-ca", tuple(leaves)),
        (pki.front_proxy_ca, "front-proxy-ca", (FRONT_PROXY,)),
    ):
        authority = _authority(pair, name, now)
        for leaf in issued:
            _leaf(pki._pair(leaf.file), leaf, authority, now)
    if not pki.service_accounts.exists():
        _write(pki.service_accounts, _key_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    return pki


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _authority(pair: Pair, name: str, now: datetime) -> _Authority:
    if pair.certificate.exists() and pair.key.exists():
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{pair.key} is no EC key")
        if certificate.not_valid_after_utc - now > RENEW_BEFORE:
            return _Authority(certificate, key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key, now, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _write_pair(pair, certificate, key)
    return _Authority(certificate, key)


def _leaf(pair: Pair, leaf: Subject, authority: _Authority, now: datetime) -> None:
    if pair.certificate.exists() and pair.key.exists():
        current = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        if not due(current, leaf, authority.certificate, now):
            return
    key = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.SERVER_AUTH] * leaf.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * leaf.client
    public = authority.key.public_key()
    builder = (
        _builder(_name(leaf), authority.certificate.subject, key, now, LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if leaf.names:
        builder = builder.add_extension(_alternative_names(leaf), critical=False)
    _write_pair(pair, builder.sign(authority.key, hashes.SHA256()), key)


def due(current: x509.Certificate, leaf: Subject, authority: x509.Certificate, now: datetime) -> bool:
    """Whether `current` must be made anew: it ends soon, is for another subject, or of another authority."""
    if current.not_valid_after_utc - now <= RENEW_BEFORE or current.subject != _name(leaf):
        return True
    try:
        held = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        held = x509.SubjectAlternativeName([])
    if set(held) != set(_alternative_names(leaf)):
        return True
    try:
        current.verify_directly_issued_by(authority)
    except Exception:  # cryptography raises InvalidSignature, ValueError or TypeError for a foreign issuer
        return True
    return False


def _name(leaf: Subject) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in leaf.organizations]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)])


def _alternative_names(leaf: Subject) -> x509.SubjectAlternativeName:
    names: dict[str, x509.GeneralName] = {}
    for name in leaf.names:
        try:
            names[name] = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            names[name] = x509.DNSName(name)
    return x509.SubjectAlternativeName(names.values())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_pair(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    # The certificate last: were we cut off between the two, the pair would not match and `due` not see it.
    pair.certificate.unlink(missing_ok=True)
    _write(pair.key, _key_pem(key), 0o600)
    _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def server_context(pair: Pair, client_ca: Path | None = None) -> ssl.SSLContext:
    """A TLS context for serving with `pair`; with `client_ca`, client certificates are asked for and, where
    given, checked."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(ca: Path, pair: Pair | None = None) -> ssl.SSLContext:
    """A TLS context for clients that trust `ca`, presenting `pair` where given."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def system_now() -> datetime:
    """The wall time in UTC, for callers without a clock (the CLI)."""
    return datetime.now(UTC)
