"""Validation: structural decoding of requests, object metadata, and the door to names and violations.

`decode` is what a write passes first: it refuses wrong types as Kubernetes' decoder does, prunes unknown
fields, and refuses or reports them by fieldValidation. `validate_object_meta` is what every kind shares.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    "NO_DUPLICATES",
    "Duplicates",
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


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What a body says twice, and how clients are told of its faults.

    texts: one for each key that is said twice. keys: the path of every key of a JSON document that has such
    ones, as a decoder meets them, and whether its object has had it before. by_name: whether unknown fields are
    told by their names' order (YAML and patches) or as they stand in the body.
    """

    texts: Sequence[str] = ()
    keys: Sequence[tuple[str, bool]] = ()
    by_name: bool = False


NO_DUPLICATES = Duplicates()


def decode(
    kind: Kind,
    obj: Any,
    mode: str = IGNORE,
    warnings: list[str] | None = None,
    duplicates: Duplicates = Duplicates(),
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
    if mode != IGNORE and (unknown or duplicates.texts):
        _report(kind, _problems(kind, unknown, duplicates), mode, warnings)
    return decoded


def _problems(kind: Kind, unknown: Sequence[str], duplicates: Duplicates) -> list[str]:
    """What is told of unknown and repeated fields, in Kubernetes' order: in that of the body where its typed
    decoder finds both, else the repeated ones first."""
    if duplicates.keys and kind.schema is None:
        return list(dict.fromkeys(_met(unknown, duplicates.keys)))
    if duplicates.by_name or kind.schema is not None:
        unknown = sorted(unknown, key=_by_name)
    return [*duplicates.texts, *(f'unknown field "{path}"' for path in unknown)]


def _met(unknown: Sequence[str], keys: Iterable[tuple[str, bool]]) -> Iterator[str]:
    skipped = set(unknown)
    below = tuple(f"{path}{end}" for path in unknown for end in ".[")
    for path, repeated in keys:
        if path in skipped:
            yield f'unknown field "{path}"'
        elif repeated and not path.startswith(below):
            yield f'duplicate field "{path}"'


def _by_name(path: str) -> tuple[bool, list[tuple[int, str]]]:
    """Unknown metadata is told first, then what is found in the order of names and indexes."""
    parts = re.split(r"\.|\[(\d+)\]", path)
    return not path.startswith("metadata."), [(int(p), "") if p.isdigit() else (0, p) for p in parts if p]


def _unhandled(kind: Kind) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'


def _report(kind: Kind, problems: list[str], mode: str, warnings: list[str] | None) -> None:
    if mode == STRICT:
        raise BadRequest(f"{_unhandled(kind)}: strict decoding error: {', '.join(problems)}")
    if warnings is not None:
        warnings.extend(problems)


_SPACED_COLON = re.compile(rb'"\s+:')


def duplicate_fields(data: bytes, value: Any = None) -> Duplicates:
    """`duplicate field "spec.x"` for each key that a JSON document has twice in one object, at most 100.
    `value` is what it was decoded to, where that is known."""
    try:
        once = orjson.dumps(orjson.loads(data) if value is None else value)
        if once == data:  # as most programs write it: no key was dropped
            return NO_DUPLICATES
        # Each key ends in `":`, and so does nothing else but the same texts within strings: equal counts mean
        # that no key was dropped. Only ways of writing that would spoil the count need the slow parse.
        plain = b"\\u0022" not in data and _SPACED_COLON.search(data) is None
        if plain and data.count(b'":') == once.count(b'":'):
            return NO_DUPLICATES
        pairs = json.loads(data, object_pairs_hook=_Pairs)
    except (TypeError, ValueError, RecursionError):
        return NO_DUPLICATES  # not JSON: the decoder says so
    keys = list(_keys(pairs, ""))
    found = [f'duplicate field "{path}"' for path, repeated in keys if repeated]
    return Duplicates(found[:MAX_UNKNOWN], keys) if found else NO_DUPLICATES


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, which keeps repeated keys."""


def _keys(value: Any, path: str) -> Iterator[tuple[str, bool]]:
    """Every key's path, as it stands in the document, and whether its object has had it before."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            place = f"{path}.{key}" if path else key
            yield place, key in seen
            seen.add(key)
            yield from _keys(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _keys(item, f"{path}[{index}]")


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
