"""What ConfigMap and Secret share: keys, size, and the `immutable` mark."""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import config_map_key
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import forbidden, invalid, too_long

MAX_SIZE = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"


def validate_keys(data: Obj, path: str) -> Iterable[Violation]:
    """The refusals of the names of entries."""
    for key in data:
        for reason in config_map_key(key):
            yield invalid(f"{path}[{key}]", key, reason)


def validate_size(size: int, path: str) -> Iterable[Violation]:
    """A violation where all values together are greater than 1 MiB."""
    if size > MAX_SIZE:
        yield too_long(path, MAX_SIZE)


def validate_frozen(obj: Obj, old: Obj, fields: Iterable[str]) -> Iterable[Violation]:
    """The refusals of a change to an object that was marked immutable."""
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield forbidden("immutable", _FROZEN)
    for field in fields:
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield forbidden(field, _FROZEN)


def base64_size(text: str) -> int:
    """How many bytes base64 text stands for."""
    return len(text) * 3 // 4 - text[-2:].count("=")
