"""YAML as kubectl reads and writes it: the dialect of goyaml.v2 under sigs.k8s.io/yaml.

Built over PyYAML's events (libyaml where it is compiled in), because no Python loader speaks the dialect:
`yes`, `on` and `y` are booleans; `0777` and `0o777` are octal; `1_000` is a number; `1:30`, dates and `=` stay
strings; keys become strings; `<<` merges. Duplicate keys (unless the caller takes them), self-references,
alias bombs and absurd depth are refused with the line.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 200
MAX_NODES = 1_000_000
"""Nodes of one document once aliases are expanded; a bomb of nested aliases passes it at once."""

_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_LITERALS: dict[str, Any] = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False) | dict.fromkeys(_NULL)
_NUMBER_START = frozenset("0123456789+-.")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
_OCTAL = re.compile(r"([-+]?)0o?([0-7]+)$")
_HEX = re.compile(r"([-+]?)0x([0-9a-fA-F]+)$")
_BINARY = re.compile(r"([-+]?)0b([01]+)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_TAGS = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "map", "seq")}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """A document that cannot be read; the message names the line."""


def scalar(text: str) -> Any:
    """What a plain (unquoted) scalar means: None, bool, int, float or str."""
    if text in _LITERALS:
        return _LITERALS[text]
    if text[0] not in _NUMBER_START:
        return text
    plain = text.replace("_", "")
    if _DECIMAL.match(plain):
        return int(plain)
    for pattern, base in ((_OCTAL, 8), (_HEX, 16), (_BINARY, 2)):
        if found := pattern.match(plain):
            return int(found[1] + found[2], base)
    if _FLOAT.match(plain):
        number = float(plain)
        return int(number) if number.is_integer() and "e" in plain.lower() and abs(number) < 2**63 else number
    return text


class _Builder:
    """Builds JSON values from one stream of events."""

    def __init__(self, text: str | bytes, repeated: list[str] | None = None) -> None:
        self._loader = _Loader(text)
        self._repeated = repeated
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._nodes = 0

    def documents(self) -> Iterator[Any]:
        try:
            while True:
                event = self._loader.get_event()
                if isinstance(event, yaml.StreamEndEvent):
                    return
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors.clear()
                    self._nodes = 0
                    yield self._node(self._loader.get_event(), 0)
        except yaml.YAMLError as error:
            raise YamlError(_explain(error)) from error
        finally:
            self._loader.dispose()

    def _node(self, event: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise YamlError(f"{_line(event)}: exceeded max depth of {MAX_DEPTH}")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._count(1, event)
        anchor = event.anchor
        if anchor:
            self._open.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(depth)
        else:
            value = self._mapping(depth)
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = (value, self._nodes - before)
        return value

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise YamlError(f"{_line(event)}: document contains excessive aliasing")

    def _alias(self, event: Any) -> Any:
        if event.anchor in self._open:
            raise YamlError(f"{_line(event)}: anchor '{event.anchor}' value contains itself")
        if event.anchor not in self._anchors:
            raise YamlError(f"{_line(event)}: unknown anchor '{event.anchor}' referenced")
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, event)
        return value

    def _scalar(self, event: Any) -> Any:
        tag = event.tag
        if event.style or (tag and tag.endswith(":str")):
            return event.value
        if tag == "tag:yaml.org,2002:binary":
            return event.value
        if tag and tag.startswith("tag:") and tag not in _TAGS:
            raise YamlError(f"{_line(event)}: unknown tag {tag}")
        value = scalar(event.value)
        return float(value) if tag and tag.endswith(":float") and isinstance(value, int) else value

    def _sequence(self, depth: int) -> list[Any]:
        items = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style
            key = _key(self._node(event, depth + 1), event)
            value = self._node(self._loader.get_event(), depth + 1)
            if is_merge:
                merged.extend(_merge_sources(value, event))
            else:
                if key in result:
                    self._repeat(f'{_line(event)}: key "{key}" already set in map')
                result[key] = value
        for source in merged:
            result = {**source, **result}
        return result

    def _repeat(self, text: str) -> None:
        if self._repeated is None:
            raise YamlError(text)
        self._repeated.append(text)


def _merge_sources(value: Any, event: Any) -> list[dict[str, Any]]:
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise YamlError(f"{_line(event)}: map merge requires map or sequence of maps as the value")
    return sources


def _key(value: Any, event: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return str(value)
    raise YamlError(f"{_line(event)}: invalid map key")


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)


def load_all(text: str | bytes) -> list[Any]:
    """Every document of `text` as a JSON value; empty documents are None. Errors: YamlError."""
    return list(_Builder(text).documents())


def load(text: str | bytes, repeated: list[str] | None = None) -> Any:
    """The first document of `text`, or None where there is none. `repeated` takes what there is to say of
    duplicate keys, of which the last one counts then. Errors: YamlError."""
    return next(_Builder(text, repeated).documents(), None)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes as kubectl does: block style, sorted keys, ambiguous strings quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_str(dumper: Any, text: str) -> Any:
    ambiguous = bool(text) and not isinstance(scalar(text), str)
    style = '"' if ambiguous or not text else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)


def dump(value: Any) -> str:
    """`value` as YAML with sorted keys, as kubectl prints it."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=True, default_flow_style=False, width=10**9))
