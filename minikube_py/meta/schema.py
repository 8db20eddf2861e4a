"""Types of API objects: what validation, pruning, strategic merge and server-side apply know of each field.

A `Type` is one node of a kind's schema, built lazily from the facts of Kubernetes' schema or from a custom
resource's OpenAPI v3 schema; each node is built once and shared. Nodes are immutable but for caches.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from minikube_py.meta.facts import (
    definition,
    descriptions,
    name_for,
    names,
    openapi_definition,
    openapi_definitions,
    referenced,
)
from minikube_py.meta.kind import Kind

__all__ = [
    "DEDUCED",
    "Type",
    "definition",
    "descriptions",
    "name_for",
    "names",
    "openapi_definition",
    "openapi_definitions",
    "referenced",
    "schema_for",
    "type_for",
    "type_of",
]

STRUCT: Final = "struct"  # named fields
MAP: Final = "map"  # any keys, values of one type
LIST: Final = "list"
STRING: Final = "string"
BOOL: Final = "bool"
INT32: Final = "int32"
INT64: Final = "int64"
NUMBER: Final = "number"
QUANTITY: Final = "quantity"
INT_OR_STRING: Final = "int-or-string"
TIME: Final = "time"
MICRO_TIME: Final = "micro-time"
BYTES: Final = "bytes"
RAW: Final = "raw"  # any JSON object, owned and patched as one value
ANY: Final = "any"  # any JSON value, owned and patched as one value
DEDUCED: Final = "deduced"  # any JSON value without a schema: maps by key, lists as one value

_SCALARS = {
    ("string", ""): STRING,
    ("string", "quantity"): QUANTITY,
    ("string", "int-or-string"): INT_OR_STRING,
    ("string", "date-time"): TIME,
    ("string", "micro-time"): MICRO_TIME,
    ("string", "byte"): BYTES,
    ("boolean", ""): BOOL,
    ("integer", "int32"): INT32,
    ("integer", ""): INT64,
    ("integer", "int64"): INT64,
    ("number", ""): NUMBER,
}
_BY_TYPE = {"string": STRING, "boolean": BOOL, "integer": INT64, "number": NUMBER}


class Type:
    """One node of a schema.

    form: struct, map, list or a scalar (see the constants). For structs `fields` has the type of each field;
    for maps and lists `items` that of each element. `list_type` is atomic, set or map, `list_keys` the fields
    that tell the items of a map apart, `key_defaults` what a missing one stands for. `strategies` and
    `merge_key` are those of strategic merge patch. `atomic`: server-side apply owns the whole as one field.
    `name` is the definition's short name (`DeploymentSpec`), `go` the type as Go's decoder names it.
    `cached` holds what other modules compile from the type, by their own key.
    """

    __slots__ = (
        "_fields",
        "_items",
        "_raw",
        "atomic",
        "cached",
        "custom",
        "form",
        "go",
        "list_keys",
        "list_type",
        "merge_key",
        "name",
        "open",
        "raw",
        "required",
        "strategies",
    )

    def __init__(
        self, raw: Mapping[str, Any], site: Mapping[str, Any], name: str = "", *, custom: bool = False
    ) -> None:
        self.raw = raw
        self.name = name.rpartition(".")[2]
        self.custom = custom
        self.form: str = _form(raw, custom)
        self.go = _go(raw, name, self.form)
        self.required: tuple[str, ...] = tuple(raw.get("required") or ())
        self.strategies = frozenset(filter(None, site.get("x-kubernetes-patch-strategy", "").split(",")))
        self.merge_key: str = site.get("x-kubernetes-patch-merge-key", "")
        self.list_type: str = site.get("x-kubernetes-list-type") or "atomic"
        self.list_keys: tuple[str, ...] = tuple(site.get("x-kubernetes-list-map-keys") or ())
        granular = self.form in (STRUCT, MAP, DEDUCED) or (self.form == LIST and self.list_type != "atomic")
        map_type = site.get("x-kubernetes-map-type") or raw.get("x-kubernetes-map-type")
        self.atomic: bool = not granular or map_type == "atomic"
        self.open: bool = custom and bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        """Whether a struct takes fields that its schema does not name."""
        self.cached: dict[str, Any] = {}
        self._fields: dict[str, Type] | None = None
        self._items: Type | None = None

    def __repr__(self) -> str:
        return f"Type({self.go})"

    @property
    def fields(self) -> dict[str, "Type"]:
        """The type of each named field; empty for what is no struct."""
        if self._fields is None:
            properties = self.raw.get("properties") or {}
            found = {field: _node(schema, self.custom) for field, schema in properties.items()}
            if self.custom and self.raw.get("x-kubernetes-embedded-resource"):
                found = {**found, **_embedded()}
            self._fields = found
        return self._fields

    @property
    def items(self) -> "Type":
        """The type of the elements of a map or list."""
        if self._items is None:
            schema = self.raw.get("items") if self.form == LIST else self.raw.get("additionalProperties")
            self._items = _node(schema, self.custom) if isinstance(schema, Mapping) and schema else DEDUCED_TYPE
        return self._items

    def field(self, name: str) -> "Type | None":
        """The type below `name` in a struct, map or deduced object; None where the schema has none."""
        if self.form == STRUCT:
            found = self.fields.get(name)
            return DEDUCED_TYPE if found is None and self.open else found
        if self.form == MAP:
            return self.items
        return self if self.form == DEDUCED else None

    @property
    def key_defaults(self) -> Mapping[str, Any]:
        """The value of each list key that an item may leave out."""
        found = self.cached.get("key_defaults")
        if found is None:
            fields = self.items.raw.get("properties") or {}
            found = {key: fields[key]["default"] for key in self.list_keys if "default" in fields.get(key, ())}
            self.cached["key_defaults"] = found
        return found

    def compiled(self, purpose: str, compile: Callable[["Type"], Any]) -> Any:
        """What `compile` makes of the type, made once for each purpose."""
        found = self.cached.get(purpose)
        if found is None:
            found = self.cached[purpose] = compile(self)
        return found


def _form(raw: Mapping[str, Any], custom: bool) -> str:
    if raw.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    type_, format_ = raw.get("type", ""), raw.get("format", "")
    if "properties" in raw or raw.get("x-kubernetes-embedded-resource"):
        return STRUCT
    if type_ == "array":
        return LIST
    if custom and (raw.get("x-kubernetes-preserve-unknown-fields") or not type_):
        return DEDUCED
    if type_ == "object":
        return MAP if raw.get("additionalProperties") else (STRUCT if custom else RAW)
    if custom:
        return _BY_TYPE.get(type_, ANY)
    return _SCALARS.get((type_, format_)) or _BY_TYPE.get(type_, ANY)


def _go(raw: Mapping[str, Any], name: str, form: str) -> str:
    """The type as Go's JSON decoder names it: `v1.PodSpec`, `[]string`, `map[string]string`, `int32`."""
    if name and form in (STRUCT, RAW, ANY):
        return ".".join(name.rsplit(".", 2)[-2:])
    if form in (LIST, MAP):
        child = raw.get("items") if form == LIST else raw.get("additionalProperties")
        prefix = "[]" if form == LIST else "map[string]"
        return prefix + (_child_go(child) if isinstance(child, Mapping) else "interface {}")
    return {NUMBER: "float64", BYTES: "[]uint8"}.get(form, form)


def _child_go(child: Mapping[str, Any]) -> str:
    if "$ref" in child:
        return ".".join(child["$ref"].rsplit(".", 2)[-2:]).rpartition("/")[2]
    return _go(child, "", _form(child, custom=False))


def _node(schema: Mapping[str, Any], custom: bool) -> Type:
    """The type of a property: a shared one where nothing but a reference stands there."""
    ref = schema.get("$ref")
    if custom or not isinstance(ref, str):
        return Type(schema, schema, custom=custom)
    name = ref.rpartition("/")[2]
    shared = _named(name)
    if len(schema) == 1:
        return shared
    return Type(shared.raw, schema, name)


@cache
def _named(name: str) -> Type:
    raw = definition(name)
    return Type(raw, raw, name)


@cache
def _embedded() -> dict[str, Type]:
    """What every embedded object has besides its own schema."""
    text = Type({"type": "string"}, {}, custom=True)
    return {"apiVersion": text, "kind": text, "metadata": _named(_OBJECT_META)}


_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
DEDUCED_TYPE: Final = Type({"x-kubernetes-preserve-unknown-fields": True}, {}, custom=True)
"""The type of an object without a schema: maps by key, lists as one value."""


@cache
def schema_for(api_version: str, kind: str) -> Type | None:
    """The type of a built-in kind such as ("apps/v1", "Deployment"), or None where Kubernetes has no such."""
    name = name_for(api_version, kind)
    return _named(name) if name else None


def type_for(name: str) -> Type:
    """The type of a definition such as `io.k8s.api.core.v1.PodSpec`. Errors: KeyError."""
    return _named(name)


def type_of(kind: Kind) -> Type:
    """The type of a kind: its own schema, else the facts' one, else one that takes anything."""
    if kind.schema is None:
        return schema_for(kind.api_version, kind.kind) or _custom_root({})
    known = _CUSTOM.get(id(kind.schema))
    if known is None or known[0] is not kind.schema:
        known = _CUSTOM[id(kind.schema)] = (kind.schema, _custom_root(kind.schema))
        if len(_CUSTOM) > _CUSTOM_LIMIT:
            del _CUSTOM[next(iter(_CUSTOM))]
    return known[1]


_CUSTOM: dict[int, tuple[Mapping[str, Any], Type]] = {}  # compiled custom schemas, by identity
_CUSTOM_LIMIT = 500


def _custom_root(schema: Mapping[str, Any]) -> Type:
    """The type of a whole custom object: apiVersion, kind and metadata are Kubernetes' own."""
    if not schema:
        return _schemaless()
    root = Type({"properties": {}, **schema}, schema, custom=True)
    root._fields = {**root.fields, **_embedded()}
    return root


@cache
def _schemaless() -> Type:
    return _custom_root({"x-kubernetes-preserve-unknown-fields": True})
