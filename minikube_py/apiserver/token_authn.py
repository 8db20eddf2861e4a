"""Bearer tokens: ServiceAccounts' (bound, and the old ones kept in Secrets) and bootstrap tokens.

A ServiceAccount's token is verified once and remembered by hash; that it has not expired, and that the account
and what it is bound to still exist as the same objects, is looked at on every request, so a token dies with
them.
Source: "Managing Service Accounts" and "Authenticating with Bootstrap Tokens" of Kubernetes (v1.34).
"""

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from minikube_py.aio.clock import Clock
from minikube_py.apiserver.tokens import LEGACY_ISSUER, InvalidToken, ServiceAccountTokens
from minikube_py.errors import NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, labels_of, name_of, namespace_of, parse_time, uid_of
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

EXTRA = "authentication.kubernetes.io"
AUTHENTICATED = "system:authenticated"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
REMEMBERED = 10_000
_BOUND: dict[str, Kind] = {"pod": Pod, "secret": Secret, "node": Node}
_EARLY_SECONDS = 60.0  # clocks of clients may be ahead; deletions take a moment to be told
_BOOTSTRAP = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_BOOTSTRAP_TYPE = "bootstrap.kubernetes.io/token"
_BOOTSTRAP_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class TokenUser(NamedTuple):
    """Whose a token is, which of the asked audiences it is for, and what the audit event is told of it."""

    user: User
    audiences: list[str]
    notes: dict[str, str]


class TokenAuthenticator:
    """Finds out whose a token is. `used` is handed the Secret of each old token that is used on a new day."""

    def __init__(self, registry: Registry, tokens: ServiceAccountTokens, clock: Clock) -> None:
        self._registry = registry
        self._tokens = tokens
        self._clock = clock
        self._claims: OrderedDict[bytes, Obj] = OrderedDict()
        self.used: Callable[[Obj], None] = lambda secret: None

    def identify(self, token: str, audiences: Sequence[str]) -> TokenUser:
        """Whose `token` is. Errors: InvalidToken."""
        if _BOOTSTRAP.fullmatch(token):
            return TokenUser(self._bootstrap(token), self._own(audiences), {})
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._claims.get(digest)
        if claims is None:
            claims = self._claims[digest] = self._tokens.verify(token)
            if len(self._claims) > REMEMBERED:
                self._claims.popitem(last=False)
        if claims.get("iss") == LEGACY_ISSUER:
            return self._legacy(token, claims, audiences)
        return self._bound(claims, audiences)

    # Bound tokens

    def _bound(self, claims: Obj, audiences: Sequence[str]) -> TokenUser:
        now = self._clock.now().timestamp()
        if now >= float(claims.get("exp", 0)):
            raise InvalidToken("service account token has expired")
        if now + _EARLY_SECONDS < float(claims.get("nbf", 0)):
            raise InvalidToken("service account token is not valid yet")
        meant = claims.get("aud") or []
        meant = meant if isinstance(meant, list) else [meant]
        shared = [audience for audience in audiences if audience in meant]
        if not shared:
            raise InvalidToken(_not_meant(meant, audiences))
        user = self._bound_user(claims)
        warn_after = (claims.get("kubernetes.io") or {}).get("warnafter")
        if not warn_after or now < float(warn_after):
            return TokenUser(user, shared, {})
        late = f"subject: {user.name}, seconds after warning threshold: {int(now - float(warn_after))}"
        return TokenUser(user, shared, {"authentication.k8s.io/stale-token": late})

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
            if field != "secret":
                extra[f"{EXTRA}/{field}-name"] = (reference.get("name", ""),)
                if reference.get("uid"):
                    extra[f"{EXTRA}/{field}-uid"] = (reference["uid"],)
        return service_account_user(namespace, account.get("name", ""), account.get("uid", ""), extra)

    def _require(self, kind: Kind, namespace: str, reference: Obj) -> Obj:
        """The object a token stands and falls with. Errors: InvalidToken."""
        try:
            found = self._registry.decoded(self._registry.get(kind, namespace, reference.get("name", "")))
        except NotFound as error:
            raise InvalidToken("service account token has been invalidated") from error
        if uid_of(found) != reference.get("uid"):
            raise InvalidToken("service account token has been invalidated")
        deleted = found["metadata"].get("deletionTimestamp")
        if deleted and (self._clock.now() - parse_time(deleted)).total_seconds() > _EARLY_SECONDS:
            raise InvalidToken("service account token has been invalidated")
        return found

    # Tokens kept in Secrets

    def _legacy(self, token: str, claims: Obj, audiences: Sequence[str]) -> TokenUser:
        def claim(name: str) -> str:
            return str(claims.get(f"kubernetes.io/serviceaccount/{name}", ""))

        namespace, name, uid = claim("namespace"), claim("service-account.name"), claim("service-account.uid")
        self._require(ServiceAccount, namespace, {"name": name, "uid": uid})
        try:
            secret = self._registry.decoded(self._registry.get(Secret, namespace, claim("secret.name")))
        except NotFound as error:
            raise InvalidToken("service account token has been invalidated") from error
        if not _same(_data(secret, "token"), token) or labels_of(secret).get(INVALID_SINCE):
            raise InvalidToken("service account token has been invalidated")
        if labels_of(secret).get(LAST_USED) != self._clock.now().strftime("%Y-%m-%d"):
            self.used(secret)
        notes = {"authentication.k8s.io/legacy-token": f"{namespace_of(secret)}/{name_of(secret)}"}
        return TokenUser(service_account_user(namespace, name, uid, {}), self._own(audiences), notes)

    def _own(self, audiences: Sequence[str]) -> list[str]:
        """What a token that names no audience is for: this API server. Errors: InvalidToken for any other."""
        shared = [audience for audience in audiences if audience == self._tokens.issuer]
        if not shared:
            raise InvalidToken(_not_meant((self._tokens.issuer,), audiences))
        return shared

    # Bootstrap tokens

    def _bootstrap(self, token: str) -> User:
        ident, _, key = token.partition(".")
        try:
            found = self._registry.get(Secret, "kube-system", f"bootstrap-token-{ident}")
        except NotFound as error:
            raise InvalidToken("there is no such bootstrap token") from error
        secret = self._registry.decoded(found)
        if secret.get("type") != _BOOTSTRAP_TYPE or secret["metadata"].get("deletionTimestamp"):
            raise InvalidToken("the Secret holds no bootstrap token")
        if not _same(_data(secret, "token-secret"), key) or _data(secret, "token-id") != ident:
            raise InvalidToken("the bootstrap token is another one")
        if _data(secret, "usage-bootstrap-authentication") != "true":
            raise InvalidToken("the bootstrap token is not for authentication")
        if self._is_over(_data(secret, "expiration")):
            raise InvalidToken("the bootstrap token has expired")
        groups = {"system:bootstrappers", *filter(None, _data(secret, "auth-extra-groups").split(","))}
        if any(g != "system:bootstrappers" and not _BOOTSTRAP_GROUP.fullmatch(g) for g in groups):
            raise InvalidToken("the bootstrap token names a group that is not a bootstrappers' one")
        return User(f"system:bootstrap:{ident}", groups=(*sorted(groups), AUTHENTICATED))

    def _is_over(self, expiration: str) -> bool:
        if not expiration:
            return False
        try:
            ends = datetime.fromisoformat(expiration)
        except ValueError:
            return True
        return ends.tzinfo is None or ends <= self._clock.now()


def _data(secret: Obj, key: str) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "").decode()
    except ValueError:
        return ""


def _same(stored: str, given: str) -> bool:
    return hmac.compare_digest(stored.encode(), given.encode())


def _not_meant(meant: Sequence[str], audiences: Sequence[str]) -> str:
    return f"token audiences {_listed(meant)} is invalid for the target audiences {_listed(audiences)}"


def _listed(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def service_account_user(namespace: str, name: str, uid: str, extra: dict[str, tuple[str, ...]]) -> User:
    """The user that a ServiceAccount acts as."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", uid, groups, extra)
