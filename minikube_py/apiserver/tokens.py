"""ServiceAccount tokens: JWTs signed with the cluster's EC key (ES256), bound to objects that must still
exist.

Signing and checking the signature is all that happens here; whether the account and what the token is bound to
still exist is for authn. Claims follow Kubernetes' TokenRequest tokens (issuer, sub, aud, `kubernetes.io`).
"""

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.meta.objects import Obj

ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
"""The issuer of tokens kept in Secrets, which do not expire."""
WARN_SECONDS = 3607
"""What kubelets ask for a pod's own token: clients that never read it again get a year, and are noted."""
EXTENDED_SECONDS = 365 * 24 * 3600


class InvalidToken(Exception):
    """The token is no valid one of this cluster; the message says why, for the log, never for the client."""


class ServiceAccountTokens:
    """Signs and verifies the cluster's ServiceAccount tokens. `key` is a PEM private key on curve P-256."""

    def __init__(self, key: bytes, *, clock: Clock | None = None, issuer: str = ISSUER) -> None:
        loaded = serialization.load_pem_private_key(key, None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the ServiceAccount key is no EC private key")
        self._private = loaded
        self._public = loaded.public_key()
        self.clock = clock or SystemClock()
        self.issuer = issuer
        spki = self._public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode()

    @classmethod
    def load(cls, path: Path, *, clock: Clock | None = None) -> "ServiceAccountTokens":
        """The tokens of the key in the PEM file at `path`. Errors: OSError, ValueError."""
        return cls(path.read_bytes(), clock=clock)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT of `claims`."""
        return jwt.encode(dict(claims), self._private, algorithm="ES256", headers={"kid": self._key_id})

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        audiences: Sequence[str],
        seconds: int,
        bound: Obj | None,
    ) -> tuple[str, datetime]:
        """A token for the ServiceAccount, bound to the object reference `bound`, and when its reader should
        have a new one. The reference to a Pod may carry its node as `node: {name, uid}`."""
        now = self.clock.now()
        expires = now + timedelta(seconds=seconds)
        audiences = list(audiences) or [self.issuer]
        private: Obj = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        lifetime = seconds
        if seconds == WARN_SECONDS and audiences == [self.issuer] and bound and bound["kind"] == "Pod":
            lifetime, private["warnafter"] = EXTENDED_SECONDS, int(expires.timestamp())
        if bound:
            reference = {"name": bound.get("name", ""), "uid": bound.get("uid", "")}
            private[str(bound["kind"]).lower()] = reference
            if node := bound.get("node"):
                private["node"] = dict(node)
        claims = {
            "iss": self.issuer,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": audiences,
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int(now.timestamp()) + lifetime,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
        }
        return self.sign(claims), expires

    def verify(self, token: str) -> Obj:
        """The claims of a token that this key signed for this issuer; times and audience are not looked at.
        Errors: InvalidToken."""
        try:
            claims: Obj = jwt.decode(
                token,
                self._public,
                algorithms=["ES256"],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(str(error)) from error
        if claims.get("iss") not in (self.issuer, LEGACY_ISSUER):
            raise InvalidToken("the token has another issuer")
        return claims

    def key_set(self) -> Obj:
        """The public key as a JSON Web Key Set (RFC 7517), for those who verify tokens elsewhere."""
        numbers = self._public.public_numbers()
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self._key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": _coordinate(numbers.x),
            "y": _coordinate(numbers.y),
        }
        return {"keys": [key]}

    def discovery(self) -> Obj:
        """The OpenID provider document of the issuer."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
