"""The schemas of OpenAPI documents: their names, and those of custom resources."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from minikube_py.meta.facts import V2_PREFIX, V3_PREFIX, name_for, openapi_definition, referenced
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
DELETE_OPTIONS = f"{_META}.DeleteOptions"
STATUS = f"{_META}.Status"
PATCH = f"{_META}.Patch"
_OBJECT_META, _LIST_META = f"{_META}.ObjectMeta", f"{_META}.ListMeta"

_KEPT_IN_V2 = frozenset(
    ("$ref", "format", "title", "description", "default", "pattern", "uniqueItems", "required", "enum", "type")
)


def schema_name(api_version: str, kind: str) -> str:
    """The name of a kind's schema: Kubernetes' own, or the custom resource's (`com.example.v1.Widget`)."""
    if known := name_for(api_version, kind):
        return known
    group, _, version = api_version.rpartition("/")
    return ".".join([*reversed(group.split(".")), version, kind])


def schemas(kinds: Iterable[Kind], roots: Iterable[str], version: int, texts: Mapping[str, Any]) -> Obj:
    """The schemas named `roots` and all that they refer to; `texts` are descriptions by name."""
    custom = {name: schema for kind in kinds for name, schema in _custom(kind, version)}
    found: Obj = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        schema = custom.get(name)
        found[name] = _built_in(name, version, texts) if schema is None else schema
        waiting += [reference for reference in referenced(found[name]) if reference not in found]
    return dict(sorted(found.items()))


def _built_in(name: str, version: int, texts: Mapping[str, Any]) -> Obj:
    try:
        return openapi_definition(name, version, texts.get(name))
    except KeyError:
        return {"type": "object"}


def _custom(kind: Kind, version: int) -> Iterator[tuple[str, Obj]]:
    """The schemas of a custom resource and of its list."""
    if kind.schema is None:
        return
    prefix = V3_PREFIX if version == 3 else V2_PREFIX
    body = dict(kind.schema) if version == 3 else _for_v2(kind.schema)
    meta = {"$ref": prefix + _OBJECT_META}
    own = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": meta}
    body["properties"] = {**(body.get("properties") or {}), **own}
    name = schema_name(kind.api_version, kind.kind)
    yield name, body | {"type": "object"} | _gvk(kind, kind.kind)
    items = {"type": "array", "items": {"$ref": prefix + name}}
    listed = {**own, "metadata": {"$ref": prefix + _LIST_META}, "items": items}
    schema = {"type": "object", "required": ["items"], "properties": listed} | _gvk(kind, kind.list_kind)
    yield schema_name(kind.api_version, kind.list_kind), schema


def _gvk(kind: Kind, name: str) -> Obj:
    gvk = {"group": kind.group, "version": kind.version, "kind": name}
    return {"x-kubernetes-group-version-kind": [gvk]}


def _for_v2(schema: Mapping[str, Any]) -> Obj:
    """What OpenAPI v2 can say of an OpenAPI v3 schema; a field of several types loses its type."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("nullable"):
        return {key: value for key, value in schema.items() if key == "description" or key.startswith("x-")}
    kept: Obj = {k: v for k, v in schema.items() if k in _KEPT_IN_V2 or k.startswith("x-")}
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        kept.pop("type", None)
        return kept
    if isinstance(schema.get("properties"), Mapping):
        kept["properties"] = {name: _for_v2(child) for name, child in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        child = schema.get(key)
        if isinstance(child, Mapping):
            kept[key] = _for_v2(child)
        elif isinstance(child, bool):
            kept[key] = child
    return kept
