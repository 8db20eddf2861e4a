"""What the API server is told at its start."""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.registry.base import ClusterFacts

Address = tuple[str, int]
"""A host and a port; port 0 lets the system choose."""


@dataclass(frozen=True, slots=True)
class EventLimit:
    """How many Events may be written, over all (Server), or for each Namespace, User, or SourceAndObject."""

    type: str
    qps: float
    burst: int
    cache_size: int = 4096


@dataclass(frozen=True, slots=True)
class ApiServerConfig:
    """Where to listen and with which keys. All paths are PEM files."""

    listen: Sequence[Address]
    certificate: Path
    key: Path
    client_ca: Path
    """The CA that signed clients' certificates, and the kubelets' serving certificates."""
    service_account_key: Path
    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    front_proxy_client_certificate: Path | None = None
    """By which aggregated API servers know this server as their front proxy."""
    front_proxy_client_key: Path | None = None
    facts: ClusterFacts = field(default_factory=ClusterFacts)
    advertise: Address | None = None
    """The address behind the `kubernetes` Service; None: the last one that is listened on."""
    max_reads: int = 400
    """Reading requests in flight above which further ones get 429."""
    max_writes: int = 200
    """Writing ones. Both together are the seats that flow control shares out."""
    front_proxy_ca: Path | None = None
    """The CA of front proxies, whose X-Remote-* headers say who asks; None: nobody's do."""
    front_proxy_names: Sequence[str] = ("front-proxy-client",)
    """The common names of front proxies' certificates."""
    audit_log: Path | None = None
    """Where the audit log is written; None: nowhere."""
    audit_policy: Path | None = None
    """What is told to the audit log (audit.k8s.io/v1 Policy); None: a policy that logs no secret's body."""
    deny_service_external_ips: bool = False
    """Admission plugin DenyServiceExternalIPs."""
    extended_resource_toleration: bool = False
    """Admission plugin ExtendedResourceToleration."""
    event_rate_limits: Sequence[EventLimit] = ()
    """Admission plugin EventRateLimit, which is on where there are any."""
    extra: Mapping[str, Callable[[], Awaitable[bytes]]] = field(default_factory=dict)
    """Further paths that are no resources (RBAC: nonResourceURLs), each giving the bytes of a JSON body."""
    checks: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    """Further readiness checks: an empty string where all is well."""

    def server_tls(self) -> ssl.SSLContext:
        """TLS 1.2 and up as a server; clients may present a certificate of the cluster's CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # busybox's wget names no signature algorithms: in TLS 1.2 that means SHA-1, which Go's server allows.
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=0")
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.client_ca)
        if self.front_proxy_ca is not None:
            context.load_verify_locations(self.front_proxy_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        context.num_tickets = 0  # few clients resume: a fifth of a handshake, and 3 KiB of each connection
        return context

    def front_proxy(self) -> tuple[Path, Path] | None:
        """The certificate and key of this server as a front proxy, where it has them."""
        if self.front_proxy_client_certificate and self.front_proxy_client_key:
            return self.front_proxy_client_certificate, self.front_proxy_client_key
        return None

    def kubelet_tls(self) -> ssl.SSLContext:
        """TLS as the kubelets' client; their certificates are checked, with their names."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.client_ca))
        if self.kubelet_client_certificate and self.kubelet_client_key:
            context.load_cert_chain(self.kubelet_client_certificate, self.kubelet_client_key)
        return context
