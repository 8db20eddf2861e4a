"""Authentication: who asks, by front proxy, by client certificate (CN and O), or by bearer token.

A request without credentials is nobody's, whom roles allow health, version and the cluster's address; one with
wrong credentials is refused even there. Certificates were verified by TLS; their subjects are remembered by the
certificate's bytes. One of the front proxy's authority never names a user itself: it makes the X-Remote-*
headers count, which mean nothing otherwise.
Limits: an authority that the front proxy's has signed is not known to belong to it.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from multidict import CIMultiDictProxy

from minikube_py.aio.clock import Clock
from minikube_py.apiserver.incoming import Incoming
from minikube_py.apiserver.token_authn import (
    AUTHENTICATED,
    EXTRA,
    REMEMBERED,
    TokenAuthenticator,
)
from minikube_py.apiserver.tokens import InvalidToken, ServiceAccountTokens
from minikube_py.errors import Unauthorized
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))
UID_ATTRIBUTE = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
"""The part of a certificate's subject that holds the user's uid."""
REMOTE_EXTRA = "x-remote-extra-"


@dataclass(frozen=True, slots=True)
class FrontProxies:
    """Whose word is taken for who asks: the authority's certificates, and the common names (empty: any)."""

    authorities: tuple[x509.Certificate, ...] = ()
    names: Collection[str] = ()

    @classmethod
    def load(cls, path: Path, names: Collection[str]) -> "FrontProxies":
        """Those of the authority in the PEM file at `path`. Errors: OSError, ValueError."""
        return cls(tuple(x509.load_pem_x509_certificates(path.read_bytes())), names)

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether the authority issued the certificate."""
        return any(_issued(authority, certificate) for authority in self.authorities)


class Peer(NamedTuple):
    """What a certificate stands for: a user, or a front proxy; until when (monotonic seconds)."""

    user: User | None
    until: float


class Authenticator:
    """Finds out who asks."""

    def __init__(
        self,
        registry: Registry,
        tokens: ServiceAccountTokens,
        clock: Clock,
        front_proxies: FrontProxies = FrontProxies(),
    ) -> None:
        self._clock = clock
        self._issuer = tokens.issuer
        self._front_proxies = front_proxies
        self._peers: OrderedDict[bytes, Peer] = OrderedDict()
        self.tokens = TokenAuthenticator(registry, tokens, clock)

    def user_of(self, request: Incoming, notes: dict[str, str] | None = None) -> User | None:
        """The user, or None where the request carries no credentials; `notes` is given what the audit event
        should tell. Errors: Unauthorized."""
        peer = self._peer_of(request)
        if peer is not None:
            if self._clock.monotonic() > peer.until:
                raise Unauthorized("Unauthorized")
            if peer.user is not None:
                return peer.user
            if user := remote_user(request.headers):
                return user
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Unauthorized")
        try:
            found = self.tokens.identify(token.strip(), (self._issuer,))
        except InvalidToken as error:
            raise Unauthorized("Unauthorized") from error
        if found.notes and notes is not None:
            notes.update(found.notes)
        return found.user

    def _peer_of(self, request: Incoming) -> Peer | None:
        """What the client certificate stands for that TLS has verified, None where there is none; it is looked
        at once per connection. Errors: Unauthorized for one that names nobody."""
        known = request.known
        if known.peer is not None or known.is_bare:
            return known.peer
        der = _certificate_of(request)
        if der is None:
            known.is_bare = True
            return None
        known.peer = self._peer(der)
        return known.peer

    def _peer(self, der: bytes) -> Peer:
        """What a verified certificate stands for. Errors: Unauthorized where it names nobody."""
        known = self._peers.get(der)
        if known is None:
            certificate = x509.load_der_x509_certificate(der)
            remaining = (certificate.not_valid_after_utc - self._clock.now()).total_seconds()
            user = self._named_by(certificate, der)
            known = self._peers[der] = Peer(user, self._clock.monotonic() + remaining)
            if len(self._peers) > REMEMBERED:
                self._peers.popitem(last=False)
        return known

    def _named_by(self, certificate: x509.Certificate, der: bytes) -> User | None:
        proxies = self._front_proxies
        if proxies.issued(certificate):
            if proxies.names and _common_name(certificate) not in proxies.names:
                raise Unauthorized("Unauthorized")
            return None
        return certificate_user(certificate, der)

    def by_token(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]]:
        """Whom a token stands for, and which of `audiences` it is meant for. Errors: InvalidToken."""
        found = self.tokens.identify(token, audiences)
        return found.user, found.audiences


def _certificate_of(request: Incoming) -> bytes | None:
    """The client certificate (DER) that TLS has verified, or None."""
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None or transport is None:
        return None
    found = cast(bytes | None, tls.getpeercert(binary_form=True))
    if parsed := transport.get_extra_info("peercert"):
        parsed.clear()  # TLS decodes it for every connection: nobody reads it, watchers keep it
    return found


def certificate_user(certificate: x509.Certificate, der: bytes) -> User:
    """The user that a client certificate names. Errors: Unauthorized where it names none."""
    name = _common_name(certificate)
    if not name:
        raise Unauthorized("Unauthorized")
    subject = certificate.subject
    groups = (str(found.value) for found in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    uids = [str(found.value) for found in subject.get_attributes_for_oid(UID_ATTRIBUTE)]
    digest = hashlib.sha256(der).hexdigest()
    extra: dict[str, tuple[str, ...]] = {f"{EXTRA}/credential-id": (f"X509SHA256={digest}",)}
    return User(
        name,
        uid=uids[0] if uids else "",
        groups=(*dict.fromkeys((*groups, AUTHENTICATED)),),
        extra=extra,
    )


def remote_user(headers: CIMultiDictProxy[str]) -> User | None:
    """The user that a front proxy says has asked, or None where it names none."""
    name = headers.get("X-Remote-User", "")
    if not name:
        return None
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.lower().startswith(REMOTE_EXTRA):
            key = unquote(header[len(REMOTE_EXTRA) :].lower())
            extra[key] = (*extra.get(key, ()), value)
    groups = (*headers.getall("X-Remote-Group", ()), AUTHENTICATED)
    return User(name, headers.get("X-Remote-Uid", ""), (*dict.fromkeys(groups),), extra)


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
