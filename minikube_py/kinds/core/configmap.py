"""ConfigMap: configuration as named texts or bytes."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.core.filedata import base64_size, validate_frozen, validate_keys, validate_size
from minikube_py.kinds.strategy import drop
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid


def prepare(config_map: Obj, old: Obj | None) -> None:
    for key in ("data", "binaryData"):
        if not config_map.get(key):
            drop(config_map, key)


def validate(config_map: Obj, old: Obj | None) -> Iterable[Violation]:
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    yield from validate_keys(data, "data")
    if binary:
        yield from validate_keys(binary, "binaryData")
        for key in data.keys() & binary.keys():
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum([len(value.encode()) for value in data.values()])
    yield from validate_size(size + sum(map(base64_size, binary.values())), "[]")
    if old is not None:
        yield from validate_frozen(config_map, old, ("data", "binaryData"))


def _count(config_map: Obj, now: datetime) -> int:
    return len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())


ConfigMap = Kind(
    "ConfigMap",
    "v1",
    "configmaps",
    short_names=("cm",),
    prepare=prepare,
    validate=validate,
    columns=(NAME, Column("Data", _count, description="Number of entries"), AGE),
)
