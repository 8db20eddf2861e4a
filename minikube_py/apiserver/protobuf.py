"""Kubernetes' protobuf encoding of request bodies, read into JSON objects.

kubectl sends its typed requests so (`create configmap`, `auth can-i`, evictions) and has no second try in JSON.
Only reading is spoken: answers are JSON, which every such client accepts. The envelope is the four bytes
`k8s\\0` and a `runtime.Unknown` (apiVersion, kind, the message's bytes). Field numbers come from a table of
facts that `hack/protobuf_fields.py` makes. Zeros that mean absence are dropped, as Go's JSON encoder does.
"""

import base64
import gzip
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

import orjson

from minikube_py.meta.objects import Obj, micro_timestamp, timestamp

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MAX_DEPTH = 100
_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Fields = dict[str, list[str]]


class ProtobufError(ValueError):
    """The bytes are no message, or of a type that is not known."""


@cache
def _table() -> dict[str, Fields]:
    data = resources.files("minikube_py.apiserver").joinpath("protobuf_fields.json.gz").read_bytes()
    table: dict[str, Fields] = orjson.loads(gzip.decompress(data))
    return table


def decode(data: bytes) -> Obj:
    """The object that an enveloped message holds, with its apiVersion and kind. Errors: ProtobufError."""
    if not data.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix k8s")
    try:
        unknown = dict(_fields(memoryview(data)[len(MAGIC) :]))
        identity = {number: bytes(value).decode() for number, value in _fields(unknown.get(1, b""))}
        api_version, kind = identity.get(1, ""), identity.get(2, "")
        body = _message(_name(api_version, kind), memoryview(unknown.get(2, b"")), 0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, OverflowError, AttributeError) as error:
        raise ProtobufError(f"proto: the message is damaged: {error}") from error
    return {"kind": kind, "apiVersion": api_version, **body}


def _name(api_version: str, kind: str) -> str:
    """The message's full name."""
    if kind in ("DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "Status"):
        return f"{_META}.{kind}"
    group, _, version = api_version.rpartition("/")
    name = f"k8s.io.api.{group.split('.')[0] or 'core'}.{version}.{kind}"
    if name not in _table():
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
    return name


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Number and raw value (an integer, or bytes) of each field of a message."""
    view, position = memoryview(data), 0
    while position < len(view):
        tag, position = _varint(view, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(view, position)
            yield number, value
        elif wire == _BYTES:
            size, position = _varint(view, position)
            if position + size > len(view):
                raise IndexError("unexpected end")
            yield number, view[position : position + size]
            position += size
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            yield number, struct.unpack_from("<d" if size == 8 else "<f", view, position)[0]
            position += size
        else:
            raise IndexError(f"wire type {wire} is not used")


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = view[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise IndexError("a number is too long")


def _message(name: str, data: memoryview, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ProtobufError("proto: the message is nested too deeply")
    special = _SPECIAL.get(name.removeprefix("k8s.io.apimachinery.pkg."))
    if special is not None:
        return special(dict(_fields(data)))
    if name.endswith((".ExtraValue", ".Verbs")):
        return [bytes(value).decode() for _, value in _fields(data)]
    known = _table()[name]
    result: Obj = {}
    for number, raw in _fields(data):
        field = known.get(str(number))
        if field is not None:
            _put(result, field, raw, depth)
    return result


def _put(result: Obj, field: list[str], raw: Any, depth: int) -> None:
    name, type, flags = field
    if "m" in flags:
        entry = dict(_fields(raw))
        key = bytes(entry.get(1, b"")).decode()
        result.setdefault(name, {})[key] = _value(type, entry.get(2, b""), depth)
        return
    if "r" in flags:
        result.setdefault(name, []).append(_value(type, raw, depth))
        return
    value = _value(type, raw, depth)
    if "i" in flags:
        result.update(value)
    elif value is None or (not value and not isinstance(value, dict | list) and "z" not in flags):
        return
    else:
        result[name] = value


def _value(type: str, raw: Any, depth: int) -> Any:
    if type == "string":
        return bytes(raw).decode()
    if type == "int":
        return raw - (1 << 64) if raw >= 1 << 63 else raw
    if type == "bool":
        return bool(raw)
    if type == "bytes":
        return base64.b64encode(raw).decode()
    if type == "double":
        return raw
    return _message(type, memoryview(raw), depth + 1)


def _moment(fields: dict[int, Any]) -> datetime | None:
    seconds = _value("int", fields.get(1, 0), 0)
    if seconds <= 0:
        return None
    return _EPOCH + timedelta(seconds=seconds, microseconds=fields.get(2, 0) // 1000)


def _time(fields: dict[int, Any]) -> str | None:
    moment = _moment(fields)
    return timestamp(moment) if moment else None


def _micro_time(fields: dict[int, Any]) -> str | None:
    moment = _moment(fields)
    return micro_timestamp(moment) if moment else None


def _quantity(fields: dict[int, Any]) -> str:
    return bytes(fields.get(1, b"0")).decode()


def _int_or_string(fields: dict[int, Any]) -> int | str:
    if fields.get(1, 0):
        return bytes(fields.get(3, b"")).decode()
    return int(_value("int", fields.get(2, 0), 0))


def _raw_json(fields: dict[int, Any]) -> Any:
    return orjson.loads(fields[1]) if fields.get(1) else None


_SPECIAL = {
    "apis.meta.v1.Time": _time,
    "apis.meta.v1.MicroTime": _micro_time,
    "apis.meta.v1.FieldsV1": _raw_json,
    "api.resource.Quantity": _quantity,
    "util.intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _raw_json,
}
