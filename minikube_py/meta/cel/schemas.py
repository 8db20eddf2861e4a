"""Schemas as CEL sees them: the CelType of a `meta.schema.Type`, and how JSON of it becomes a value.

Source: "Common Expression Language in Kubernetes", type mapping and escaping. At the root of a custom resource
(and of embedded ones) `apiVersion`, `kind`, `metadata.name` and `metadata.generateName` are visible, no other
metadata. What has no schema (preserve-unknown-fields) is not visible.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from minikube_py.meta import schema as forms
from minikube_py.meta.cel import types
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.lexer import KEYWORDS, RESERVED
from minikube_py.meta.cel.library.conversions import decoded
from minikube_py.meta.cel.library.times import parse_date, parse_duration, parse_timestamp
from minikube_py.meta.cel.types import CelType
from minikube_py.meta.cel.values import ABSENT, Convert, MapList, Present, SetList, Struct
from minikube_py.meta.schema import Type

Declared = CelType | Type | None
"""How a variable may be declared."""

_ESCAPED: Final = KEYWORDS | RESERVED
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPABLE: Final = re.compile(r"__|[./-]")
_FIELD: Final = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*", re.ASCII)
_VISIBLE_METADATA: Final = ("name", "generateName")


def escape(name: str) -> str:
    """The name under which an expression sees a field; empty where it cannot."""
    if name in _ESCAPED:
        return f"__{name}__"
    if not _FIELD.fullmatch(name):
        return ""
    return _ESCAPABLE.sub(lambda match: _ESCAPES[match.group()], name)


def optional_of(value: Declared) -> CelType:
    """The type of an optional value."""
    return CelType("optional", (cel_type(value),))


def object_of(fields: Mapping[str, Declared], name: str = "object") -> CelType:
    """The type of an object of these fields; its values are plain mappings."""
    return CelType("object", (), name, {field: cel_type(declared) for field, declared in fields.items()})


def cel_type(declared: Declared) -> CelType:
    """The type that a variable is declared with; what has no type is dyn."""
    if declared is None:
        return types.DYN
    if isinstance(declared, CelType):
        return declared
    return _of(declared) or types.DYN


class _Fields(Mapping[str, CelType]):
    """The fields of a schema's object, made when they are asked for: schemas may hold themselves."""

    def __init__(self, schema: Type) -> None:
        self._schema = schema
        self._known: dict[str, CelType | None] = {}
        self.names = names_of(schema)

    def __getitem__(self, name: str) -> CelType:
        if name not in self._known:
            raw = self.names[name]
            self._known[name] = _of(_visible(self._schema, raw))
        found = self._known[name]
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def names_of(schema: Type) -> dict[str, str]:
    """The JSON names of an object's fields by the names that expressions use."""
    return {escaped: name for name in schema.fields if (escaped := escape(name))}


def _visible(schema: Type, name: str) -> Type:
    """The type of a field; of a custom object's metadata only what rules may see."""
    found = schema.fields[name]
    if not (schema.custom and name == "metadata" and found.name == "ObjectMeta"):
        return found
    made: Type = schema.compiled("cel-metadata", lambda _: _metadata(found))
    return made


def _metadata(full: Type) -> Type:
    text = {"type": "string"}
    made = Type({"type": "object", "properties": dict.fromkeys(_VISIBLE_METADATA, text)}, {}, custom=True)
    made.name = full.name
    return made


def _of(schema: Type) -> CelType | None:
    """The type of a schema, None where expressions cannot see it."""
    known: tuple[CelType | None] = schema.compiled("cel", lambda node: (_made(node),))
    return known[0]


def _made(schema: Type) -> CelType | None:
    form = schema.form
    if form in (forms.LIST, forms.MAP):
        items = _of(schema.items)
        if items is None:
            return None
        params = (items,) if form == forms.LIST else (types.STRING, items)
        return CelType(form, params, source=schema)
    if form in (forms.STRUCT, forms.RAW) or (form == forms.DEDUCED and schema.raw.get("type") == "object"):
        return CelType("object", (), "object", _Fields(schema), schema)
    scalar = _scalar(schema)
    return scalar and CelType(scalar.kind, (), scalar.name, source=schema)


_SCALARS: Final = {
    forms.BOOL: types.BOOL,
    forms.INT32: types.INT,
    forms.INT64: types.INT,
    forms.NUMBER: types.DOUBLE,
    forms.QUANTITY: types.STRING,
    forms.INT_OR_STRING: types.DYN,
    forms.TIME: types.TIMESTAMP,
    forms.MICRO_TIME: types.TIMESTAMP,
    forms.BYTES: types.BYTES,
}
_FORMATS: Final = {
    "byte": types.BYTES,
    "duration": types.DURATION,
    "date": types.TIMESTAMP,
    "date-time": types.TIMESTAMP,
}


def _scalar(schema: Type) -> CelType | None:
    if schema.form == forms.STRING:
        return _FORMATS.get(schema.raw.get("format", ""), types.STRING)
    return _SCALARS.get(schema.form)


# Values


def converter(declared: CelType) -> Convert | None:
    """How JSON becomes a value of a declared type; None: it is one as it stands."""
    if declared.kind == "optional" and declared.params:
        inner = converter(declared.params[0])
        return lambda given: given if given is ABSENT else Present(_converted(inner, given.value))
    source = declared.source
    return _converter(source) if isinstance(source, Type) else None


def _converted(convert: Convert | None, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)


def _converter(schema: Type) -> Convert | None:
    known: tuple[Convert | None] = schema.compiled("cel-convert", lambda node: (_make_converter(node),))
    return known[0]


def _make_converter(schema: Type) -> Convert | None:
    form = schema.form
    if form == forms.LIST:
        return _list_converter(schema)
    if form == forms.MAP:
        items = _converter(schema.items)
        return items and (lambda raw: {key: _converted(items, value) for key, value in raw.items()})
    if form in (forms.STRUCT, forms.RAW) or (form == forms.DEDUCED and schema.raw.get("type") == "object"):
        return lambda raw: Struct(raw, _struct_fields(schema))
    kind = _scalar(schema)
    if kind is types.DOUBLE:
        return float
    if kind is types.TIMESTAMP:
        return parse_date if schema.raw.get("format") == "date" else _time
    by_kind: dict[str, Convert] = {"bytes": decoded, "duration": parse_duration}
    return by_kind.get(kind.kind) if kind is not None else None


def _time(text: str) -> Any:
    try:
        return parse_timestamp(text)
    except EvaluationError as error:
        raise EvaluationError(f"Invalid date-time formatted string {text}, err: {error.message}") from None


def _list_converter(schema: Type) -> Convert | None:
    items = _converter(schema.items)
    if schema.list_type == "set":
        return lambda raw: SetList(_converted(items, item) for item in raw)
    if schema.list_type == "map":
        keys = tuple(escape(key) for key in schema.list_keys)

        def keyed(raw: Any) -> MapList:
            made = MapList(_converted(items, item) for item in raw)
            made.keys = keys
            return made

        return keyed
    return items and (lambda raw: [_converted(items, item) for item in raw])


def _struct_fields(schema: Type) -> dict[str, tuple[str, Convert | None]]:
    def made(node: Type) -> dict[str, tuple[str, Convert | None]]:
        return {name: (raw, _converter(_visible(node, raw))) for name, raw in names_of(node).items()}

    found: dict[str, tuple[str, Convert | None]] = schema.compiled("cel-fields", made)
    return found
