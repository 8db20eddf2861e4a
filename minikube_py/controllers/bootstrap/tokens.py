"""Bootstrap tokens: what their Secrets say, and how they sign. Pure.

Source: "Authenticating with Bootstrap Tokens" of the Kubernetes documentation (v1.34).
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime

import orjson

from minikube_py.meta.objects import Obj, name_of, namespace_of, parse_time

NAMESPACE, TYPE, PREFIX = "kube-system", "bootstrap.kubernetes.io/token", "bootstrap-token-"
_ID = re.compile(r"[a-z0-9]{6}")


@dataclass(frozen=True, slots=True)
class Token:
    """A token's two halves."""

    id: str
    secret: str


def is_token(secret: Obj) -> bool:
    """Whether the Secret is of a bootstrap token."""
    return secret.get("type") == TYPE and namespace_of(secret) == NAMESPACE


def text_of(secret: Obj, field: str) -> str:
    """A field of the Secret, decoded; empty where it is missing or no text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(field, "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def seconds_left(secret: Obj, now: datetime) -> float | None:
    """Seconds until the token expires; None where it never does. An expiration that is no time has passed."""
    text = text_of(secret, "expiration")
    if not text:
        return None
    try:
        return (parse_time(text) - now).total_seconds()
    except ValueError:
        return 0.0


def signing_token(secret: Obj, now: datetime) -> Token | None:
    """The token, if it is complete, valid and meant to sign."""
    token = Token(text_of(secret, "token-id"), text_of(secret, "token-secret"))
    left = seconds_left(secret, now)
    fits = _ID.fullmatch(token.id) and token.secret and name_of(secret) == f"{PREFIX}{token.id}"
    alive = left is None or left > 0
    return token if fits and alive and text_of(secret, "usage-bootstrap-signing") == "true" else None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature(content: str, token: Token) -> str:
    """The detached JSON Web Signature (RFC 7515, HS256) of `content`."""
    header = _encoded(orjson.dumps({"alg": "HS256", "kid": token.id}))
    signed = f"{header}.{_encoded(content.encode())}".encode()
    digest = hmac.new(f"{token.id}.{token.secret}".encode(), signed, hashlib.sha256).digest()
    return f"{header}..{_encoded(digest)}"
