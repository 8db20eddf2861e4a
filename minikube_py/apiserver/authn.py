"""Authentication: who asks, by client certificate (CN and O) or by ServiceAccount token.

A request without credentials may only see health and version; one with wrong credentials is refused even
there. Certificates were verified by TLS; their subjects are remembered by the certificate's bytes. Tokens are
verified once and remembered by hash; that they have not expired, and that the account and what they are bound
to still exist, is looked at on every request.
"""

import base64
import hashlib
import hmac
import ssl
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import NameOID

from minikube_py.aio.clock import Clock
from minikube_py.apiserver.tokens import LEGACY_ISSUER, InvalidToken, ServiceAccountTokens
from minikube_py.errors import NotFound, Unauthorized
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, dig, uid_of
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

EXTRA = "authentication.kubernetes.io"
AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))
_BOUND: dict[str, Kind] = {"pod": Pod, "secret": Secret, "node": Node}
_REMEMBERED = 10_000


class Authenticator:
    """Finds out who asks."""

    def __init__(self, registry: Registry, tokens: ServiceAccountTokens, clock: Clock) -> None:
        self._registry = registry
        self._tokens = tokens
        self._clock = clock
        self._certificates: OrderedDict[bytes, tuple[User, float]] = OrderedDict()
        self._connections: WeakKeyDictionary[ssl.SSLObject, bytes | None] = WeakKeyDictionary()
        self._claims: OrderedDict[bytes, Obj] = OrderedDict()

    def user_of(self, request: web.BaseRequest) -> User | None:
        """The user, or None where the request carries no credentials. Errors: Unauthorized."""
        certificate = self._certificate_of(request)
        if certificate is not None:
            return self.by_certificate(certificate)
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Unauthorized")
        try:
            return self.by_token(token.strip(), (self._tokens.issuer,))[0]
        except InvalidToken as error:
            raise Unauthorized("Unauthorized") from error

    def _certificate_of(self, request: web.BaseRequest) -> bytes | None:
        """The client certificate (DER) that TLS has verified, or None; it is fetched once per connection."""
        transport = request.transport
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
        if tls is None:
            return None
        try:
            return self._connections[tls]
        except KeyError:
            found = self._connections[tls] = tls.getpeercert(binary_form=True)
            return found

    def by_certificate(self, der: bytes) -> User:
        """The user that a verified client certificate names. Errors: Unauthorized once it has expired."""
        known = self._certificates.get(der)
        if known is None:
            user, expires = _subject(der)
            remaining = (expires - self._clock.now()).total_seconds()
            known = self._certificates[der] = user, self._clock.monotonic() + remaining
            _bound(self._certificates)
        user, until = known
        if self._clock.monotonic() > until:
            raise Unauthorized("Unauthorized")
        return user

    def by_token(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]]:
        """The ServiceAccount that a token stands for, and which of `audiences` it is meant for.
        Errors: InvalidToken."""
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._claims.get(digest)
        if claims is None:
            claims = self._claims[digest] = self._tokens.verify(token)
            _bound(self._claims)
        if claims.get("iss") == LEGACY_ISSUER:
            return self._legacy(token, claims), list(audiences)
        now = self._clock.now().timestamp()
        if now >= float(claims.get("exp", 0)) or now + 60 < float(claims.get("nbf", 0)):
            raise InvalidToken("the token has expired or is not valid yet")
        meant = claims.get("aud") or []
        shared = [a for a in audiences if a in (meant if isinstance(meant, list) else [meant])]
        if not shared:
            raise InvalidToken("the token is meant for another audience")
        return self._bound_user(claims), shared

    def _bound_user(self, claims: Obj) -> User:
        private = claims.get("kubernetes.io") or {}
        namespace = private.get("namespace", "")
        account = private.get("serviceaccount") or {}
        self._require(ServiceAccount, namespace, account)
        extra: dict[str, tuple[str, ...]] = {f"{EXTRA}/credential-id": (f"JTI={claims.get('jti', '')}",)}
        for field, kind in _BOUND.items():
            reference = private.get(field)
            if not reference:
                continue
            # A pod's token names its node too, but it is the pod that it stands and falls with.
            if field != "node" or "pod" not in private:
                self._require(kind, namespace if kind.namespaced else "", reference)
            extra[f"{EXTRA}/{field}-name"] = (reference.get("name", ""),)
            extra[f"{EXTRA}/{field}-uid"] = (reference.get("uid", ""),)
        return service_account_user(namespace, account.get("name", ""), account.get("uid", ""), extra)

    def _require(self, kind: Kind, namespace: str, reference: Obj) -> Obj:
        try:
            found = self._registry.decoded(self._registry.get(kind, namespace, reference.get("name", "")))
        except NotFound as error:
            raise InvalidToken(f"{kind.kind} {reference.get('name')} of the token is gone") from error
        if uid_of(found) != reference.get("uid"):
            raise InvalidToken(f"{kind.kind} {reference.get('name')} of the token was replaced")
        return found

    def _legacy(self, token: str, claims: Obj) -> User:
        def claim(name: str) -> str:
            return str(claims.get(f"kubernetes.io/serviceaccount/{name}", ""))

        namespace, name, uid = claim("namespace"), claim("service-account.name"), claim("service-account.uid")
        self._require(ServiceAccount, namespace, {"name": name, "uid": uid})
        try:
            secret = self._registry.decoded(self._registry.get(Secret, namespace, claim("secret.name")))
        except NotFound as error:
            raise InvalidToken("the token's Secret is gone") from error
        if not _holds(secret, token):
            raise InvalidToken("the token's Secret holds another token")
        return service_account_user(namespace, name, uid, {})


def _holds(secret: Obj, token: str) -> bool:
    stored = str(dig(secret, "data", {}).get("token", ""))
    return hmac.compare_digest(stored.encode(), base64.b64encode(token.encode()))


def _subject(der: bytes) -> tuple[User, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    if not name:
        raise Unauthorized("Unauthorized")
    groups = (str(o.value) for o in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    digest = hashlib.sha256(der).hexdigest()
    extra: dict[str, tuple[str, ...]] = {f"{EXTRA}/credential-id": (f"X509SHA256={digest}",)}
    user = User(name, groups=(*dict.fromkeys((*groups, AUTHENTICATED)),), extra=extra)
    return user, certificate.not_valid_after_utc


def service_account_user(namespace: str, name: str, uid: str, extra: dict[str, tuple[str, ...]]) -> User:
    """The user that a ServiceAccount acts as."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", uid, groups, extra)


def _bound(remembered: OrderedDict[bytes, Any]) -> None:
    if len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
