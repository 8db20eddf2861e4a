"""Field paths in schemas, such as `.spec.limits['a.b']`: of rules (fieldPath) and of selectable fields."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from minikube_py.meta.structural.nodes import Schema

_TOKEN = re.compile(r"\.|\[|\]|'(?:[^'\\]|\\.)*'|[^.\[\]]+")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


class FieldPath(NamedTuple):
    """A path as messages write it (`spec.limits[a.b]`), its steps, and the schema that it leads to."""

    text: str
    steps: tuple[str, ...]
    schema: Schema


def field_path(path: str, schema: Schema, *, brackets: bool = True) -> FieldPath:
    """The path in a schema. Errors: ValueError with upstream's reason."""
    found = FieldPath("", (), schema)
    tokens = iter(_TOKEN.findall(path))
    for token in tokens:
        if token == ".":
            found = _step(found, _next(tokens))
        elif token == "[":
            if not brackets:
                raise ValueError("array notation is not allowed")
            quoted = _next(tokens)
            if len(quoted) < 2 or quoted[0] != "'" or quoted[-1] != "'":
                raise ValueError(f"expected single quoted string but got {quoted}")
            found = _step(found, _unescaped(quoted[1:-1]))
            if (closing := _next(tokens)) != "]":
                raise ValueError(f"expected ] but got {closing}")
        else:
            raise ValueError(f"expected [ or . but got: {token}")
    return found


def _next(tokens: Any) -> str:
    token: str | None = next(tokens, None)
    if token is None:
        raise ValueError("unexpected end of JSON path")
    return token


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        known = _ESCAPES.get(match[1])
        if known is None:
            raise ValueError(f"invalid string literal: invalid escape char {match[0]}")
        return known

    return re.sub(r"\\(.)", one, text)


def _step(found: FieldPath, name: str) -> FieldPath:
    properties, additional = found.schema.get("properties"), found.schema.get("additionalProperties")
    steps = (*found.steps, name)
    if properties:
        below = properties.get(name)
        if below is None:
            raise ValueError("does not refer to a valid field")
        return FieldPath(f"{found.text}.{name}" if found.text else name, steps, below)
    if isinstance(additional, Mapping):
        return FieldPath(f"{found.text}[{name}]", steps, additional)
    raise ValueError("does not refer to a valid field")
