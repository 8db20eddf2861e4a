"""OpenAPI v2 in protobuf, as client-go asks for it: application/com.github.proto-openapi.spec.v2@v1.0+protobuf.

A writer for what our own document uses of the messages in google/gnostic's OpenAPIv2.proto; it knows no
others and refuses them.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from minikube_py.meta.objects import Obj

_LENGTH_DELIMITED, _FIXED_64 = 2, 1


def encode(whole: Mapping[str, Any]) -> bytes:
    """The Document message of an OpenAPI v2 document. Errors: KeyError (a field that is not known)."""
    head = {key: value for key, value in whole.items() if key not in ("paths", "definitions")}
    items = {path: _message(_PATH_ITEM, item) for path, item in (whole.get("paths") or {}).items()}
    definitions = {name: schema(one) for name, one in (whole.get("definitions") or {}).items()}
    return document(head, items, definitions)


def document(head: Mapping[str, Any], items: Mapping[str, bytes], definitions: Mapping[str, bytes]) -> bytes:
    """The Document message of an OpenAPI v2 document whose paths and definitions are encoded already: `items`
    are the joined members of each path. Errors: KeyError (a field that is not known)."""
    parts = [_message(_DOCUMENT, head)]
    for number, entry, named in ((8, 2, items), (9, 1, definitions)):
        if named:
            parts.append(_field(number, b"".join(_named(entry, bytes)(named))))
    return b"".join(parts)


def member(name: str, value: Any) -> bytes:
    """A member of a path: an operation, or the parameters of all. Errors: KeyError."""
    return _message(_PATH_ITEM, {name: value})


def schema(value: Obj) -> bytes:
    """A Schema message. Errors: KeyError."""
    return _message(_SCHEMA, value)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    pieces = bytearray()
    while number >= 0x80:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(payload)) + payload


Write = Callable[[Any], Iterator[bytes]]
"""Gives the encoded fields of one JSON value."""
Spec = Mapping[str, Write]
"""How each JSON key of a message is written; the key `x-` stands for vendor extensions."""


def _message(spec: Spec, obj: Mapping[str, Any]) -> bytes:
    pieces: list[bytes] = []
    for key, value in obj.items():
        if key.startswith("x-"):
            pieces += spec["x-"]({key: value})
        else:
            pieces += spec[key](value)
    return b"".join(pieces)


def _text(number: int) -> Write:
    return lambda value: iter((_field(number, str(value).encode()),))


def _texts(number: int) -> Write:
    return lambda values: (_field(number, str(value).encode()) for value in values)


def _flag(number: int) -> Write:
    return lambda value: iter((_varint(number << 3) + _varint(int(value)),))


def _count(number: int) -> Write:
    return lambda value: iter((_varint(number << 3) + _varint(int(value)),))


def _number(number: int) -> Write:
    return lambda value: iter((_varint(number << 3 | _FIXED_64) + struct.pack("<d", value),))


def _one(number: int, encode: Callable[[Any], bytes]) -> Write:
    return lambda value: iter((_field(number, encode(value)),))


def _many(number: int, encode: Callable[[Any], bytes]) -> Write:
    return lambda values: (_field(number, encode(value)) for value in values)


def _named(number: int, encode: Callable[[Any], bytes]) -> Write:
    """Entries of a map: messages of a name and a value."""

    def write(values: Mapping[str, Any]) -> Iterator[bytes]:
        for name, value in values.items():
            yield _field(number, _field(1, name.encode()) + _field(2, encode(value)))

    return write


def _any(value: Any) -> bytes:
    """Any JSON value, as YAML (of which JSON is a part)."""
    return _field(2, orjson.dumps(value) + b"\n")


def _additional(value: Any) -> bytes:
    return _varint(2 << 3) + _varint(value) if isinstance(value, bool) else _field(1, schema(value))


def _type_item(value: Any) -> bytes:
    return b"".join(_texts(1)([value] if isinstance(value, str) else value))


def _items(value: Any) -> bytes:
    return b"".join(_many(1, schema)(value if isinstance(value, list) else [value]))


def _properties(value: Mapping[str, Any]) -> bytes:
    return b"".join(_named(1, schema)(value))


_EXTERNAL_DOCS: Spec = {"description": _text(1), "url": _text(2)}
_SCHEMA: Spec = {
    "$ref": _text(1),
    "format": _text(2),
    "title": _text(3),
    "description": _text(4),
    "default": _one(5, _any),
    "multipleOf": _number(6),
    "maximum": _number(7),
    "exclusiveMaximum": _flag(8),
    "minimum": _number(9),
    "exclusiveMinimum": _flag(10),
    "maxLength": _count(11),
    "minLength": _count(12),
    "pattern": _text(13),
    "maxItems": _count(14),
    "minItems": _count(15),
    "uniqueItems": _flag(16),
    "maxProperties": _count(17),
    "minProperties": _count(18),
    "required": _texts(19),
    "enum": _many(20, _any),
    "additionalProperties": _one(21, _additional),
    "type": _one(22, _type_item),
    "items": _one(23, _items),
    "allOf": _many(24, schema),
    "properties": _one(25, _properties),
    "readOnly": _flag(27),
    "externalDocs": _one(29, lambda docs: _message(_EXTERNAL_DOCS, docs)),
    "example": _one(30, _any),
    "x-": _named(31, _any),
}
_BODY_PARAMETER: Spec = {
    "description": _text(1),
    "name": _text(2),
    "in": _text(3),
    "required": _flag(4),
    "schema": _one(5, schema),
    "x-": _named(6, _any),
}
_QUERY_PARAMETER: Spec = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(6),
    "uniqueItems": _flag(20),
    "x-": _named(23, _any),
}
_PATH_PARAMETER: Spec = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(5),
    "uniqueItems": _flag(19),
    "x-": _named(22, _any),
}


def _parameter(parameter: Obj) -> bytes:
    """A ParametersItem that holds a Parameter."""
    if parameter["in"] == "body":
        return _field(1, _field(1, _message(_BODY_PARAMETER, parameter)))
    number, spec = (3, _QUERY_PARAMETER) if parameter["in"] == "query" else (4, _PATH_PARAMETER)
    return _field(1, _field(2, _field(number, _message(spec, parameter))))


def _response(response: Obj) -> bytes:
    """A ResponseValue that holds a Response."""
    return _field(1, _message(_RESPONSE, response))


_RESPONSE: Spec = {"description": _text(1), "schema": _one(2, lambda value: _field(1, schema(value)))}
_OPERATION: Spec = {
    "tags": _texts(1),
    "description": _text(3),
    "operationId": _text(5),
    "produces": _texts(6),
    "consumes": _texts(7),
    "parameters": _many(8, _parameter),
    "responses": _one(9, lambda value: b"".join(_named(1, _response)(value))),
    "x-": _named(13, _any),
}


def _operation(operation: Obj) -> bytes:
    return _message(_OPERATION, operation)


_PATH_ITEM: Spec = {
    "get": _one(2, _operation),
    "put": _one(3, _operation),
    "post": _one(4, _operation),
    "delete": _one(5, _operation),
    "options": _one(6, _operation),
    "head": _one(7, _operation),
    "patch": _one(8, _operation),
    "parameters": _many(9, _parameter),
}
_INFO: Spec = {"title": _text(1), "version": _text(2)}
_DOCUMENT: Spec = {
    "swagger": _text(1),
    "info": _one(2, lambda info: _message(_INFO, info)),
}
