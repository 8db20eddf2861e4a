"""Secret: named bytes that are not shown by accident."""

import base64
from collections.abc import Iterable
from datetime import datetime

import orjson

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.core.filedata import base64_size, validate_frozen, validate_keys, validate_size
from minikube_py.kinds.strategy import drop, if_empty
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, annotations_of
from minikube_py.meta.violations import immutable, invalid, required

ACCOUNT_NAME = "kubernetes.io/service-account.name"
_NEEDED = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_JSON = frozenset((".dockercfg", ".dockerconfigjson"))


def default(secret: Obj) -> None:
    if_empty(secret, "type", "Opaque")
    if texts := secret.pop("stringData", None):
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def prepare(secret: Obj, old: Obj | None) -> None:
    drop(secret, "stringData", *(() if secret.get("data") else ("data",)))


def validate(secret: Obj, old: Obj | None) -> Iterable[Violation]:
    data, type = secret.get("data") or {}, secret.get("type")
    yield from validate_keys(data, "data")
    yield from validate_size(sum(map(base64_size, data.values())), "data")
    for key in _NEEDED.get(type or "", ()):
        if key not in data:
            yield required(f"data[{key}]")
        elif key in _JSON and not _is_json(data[key]):
            yield invalid(f"data[{key}]", "<secret contents redacted>", "invalid character in JSON")
    if type == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        yield required("data[ssh-privatekey]")
    if type == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield required("data[username]")
        yield required("data[password]")
    if type == "kubernetes.io/service-account-token" and not annotations_of(secret).get(ACCOUNT_NAME):
        yield required(f"metadata.annotations[{ACCOUNT_NAME}]")
    if old is not None:
        yield from immutable(secret, old, "type")
        yield from validate_frozen(secret, old, ("data",))


def _is_json(text: str) -> bool:
    try:
        orjson.loads(base64.b64decode(text))
    except ValueError:
        return False
    return True


def _count(secret: Obj, now: datetime) -> int:
    return len(secret.get("data") or ())


Secret = Kind(
    "Secret",
    "v1",
    "secrets",
    default=default,
    prepare=prepare,
    validate=validate,
    fields={"type": "type"},
    columns=(
        NAME,
        Column("Type", "type", description="What the data is for"),
        Column("Data", _count, description="Number of entries"),
        AGE,
    ),
)
