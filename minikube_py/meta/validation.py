"""Validation: structural decoding of requests, object metadata, and the door to names and violations.

`decode` is what a write passes first: it refuses wrong types as Kubernetes' decoder does, prunes unknown
fields, and refuses or reports them by fieldValidation. `validate_object_meta` is what every kind shares.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from minikube_py.errors import BadRequest
from minikube_py.meta.decoding import MAX_UNKNOWN, Mistyped
from minikube_py.meta.decoding import decode as decode_value
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.names import (
    NameRule,
    config_map_key,
    dns1035_label,
    dns1123_label,
    dns1123_subdomain,
    environment_name,
    for_prefix,
    http_header_name,
    ip_address,
    label_value,
    path_segment_name,
    percent,
    port_name,
    port_number,
    qualified_name,
    wildcard_subdomain,
)
from minikube_py.meta.object_meta import (
    validate_annotations,
    validate_labels,
    validate_meta_update,
    validate_object_meta,
)
from minikube_py.meta.objects import Obj
from minikube_py.meta.schema import Type, type_of
from minikube_py.meta.violations import (
    below,
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_error,
    non_negative,
    not_found,
    not_supported,
    one_of,
    required,
    too_long,
    too_many,
    type_invalid,
)

__all__ = [
    "NameRule",
    "Violation",
    "below",
    "config_map_key",
    "decode",
    "dns1035_label",
    "dns1123_label",
    "dns1123_subdomain",
    "duplicate",
    "duplicate_fields",
    "environment_name",
    "for_prefix",
    "forbidden",
    "http_header_name",
    "immutable",
    "invalid",
    "invalid_error",
    "ip_address",
    "label_value",
    "missing_fields",
    "non_negative",
    "not_found",
    "not_supported",
    "one_of",
    "path_segment_name",
    "percent",
    "port_name",
    "port_number",
    "qualified_name",
    "required",
    "too_long",
    "too_many",
    "type_invalid",
    "validate_annotations",
    "validate_labels",
    "validate_meta_update",
    "validate_object_meta",
    "wildcard_subdomain",
]

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def decode(
    kind: Kind, obj: Any, mode: str = IGNORE, warnings: list[str] | None = None, duplicates: Sequence[str] = ()
) -> Obj:
    """`obj` as the kind's typed decoder gives it: itself where nothing has to change, else a new one.

    mode is fieldValidation: Strict refuses unknown fields and `duplicates` (see `duplicate_fields`), Warn
    appends them to `warnings`, Ignore drops them silently. A wrong type within a custom resource stays, for its
    validation to tell. Errors: BadRequest, worded as Kubernetes does.
    """
    type = type_of(kind)
    try:
        decoded, unknown = decode_value(type, obj)
    except Mistyped as error:
        raise BadRequest(f"{_unhandled(kind)}: {error.text}") from error
    except ValueError as error:
        raise BadRequest(f"{_unhandled(kind)}: {error}") from None
    except RecursionError:
        raise BadRequest(f"{_unhandled(kind)}: json: exceeded max depth") from None
    if mode != IGNORE and (unknown or duplicates):
        _report(kind, [*duplicates, *(f'unknown field "{path}"' for path in unknown)], mode, warnings)
    return decoded


def _unhandled(kind: Kind) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'


def _report(kind: Kind, problems: list[str], mode: str, warnings: list[str] | None) -> None:
    if mode == STRICT:
        raise BadRequest(f"{_unhandled(kind)}: strict decoding error: {', '.join(problems)}")
    if warnings is not None:
        warnings.extend(problems)


_SPACED_COLON = re.compile(rb'"\s+:')


def duplicate_fields(data: bytes, value: Any = None) -> list[str]:
    """`duplicate field "spec.x"` for each key that a JSON document has twice in one object, at most 100.
    `value` is what it was decoded to, where that is known."""
    try:
        once = orjson.dumps(orjson.loads(data) if value is None else value)
        if once == data:  # as most programs write it: no key was dropped
            return []
        # Each key ends in `":`, and so does nothing else but the same texts within strings: equal counts mean
        # that no key was dropped. Only ways of writing that would spoil the count need the slow parse.
        plain = b"\\u0022" not in data and _SPACED_COLON.search(data) is None
        if plain and data.count(b'":') == once.count(b'":'):
            return []
        pairs = json.loads(data, object_pairs_hook=_Pairs)
    except (TypeError, ValueError, RecursionError):
        return []  # not JSON: the decoder says so
    found: list[str] = []
    _find_duplicates(pairs, "", found)
    return [f'duplicate field "{path}"' for path in found[:MAX_UNKNOWN]]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, which keeps repeated keys."""


def _find_duplicates(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            place = f"{path}.{key}" if path else key
            if key in seen:
                found.append(place)
            seen.add(key)
            _find_duplicates(item, place, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_duplicates(item, f"{path}[{index}]", found)


def missing_fields(kind: Kind, obj: Mapping[str, Any], parts: Iterable[str] = ("spec",)) -> Iterable[Violation]:
    """A Required violation for each field that the schema requires and the object lacks, below `parts`."""
    fields = type_of(kind).fields
    for part in parts:
        if part in fields and obj.get(part) is not None:
            yield from _missing(fields[part], obj[part], part)


def _missing(type: Type, value: Any, path: str) -> Iterable[Violation]:
    if isinstance(value, dict):
        for name in type.required:
            if value.get(name) is None:
                yield required(f"{path}.{name}")
        for name, item in value.items():
            known = type.field(name)
            if known is not None and isinstance(item, dict | list):
                yield from _missing(known, item, f"{path}.{name}")
    elif isinstance(value, list) and type.form == "list":
        for index, item in enumerate(value):
            yield from _missing(type.items, item, f"{path}[{index}]")
