"""The schemas of custom resources as OpenAPI v2 and v3 publish them. Pure.

OpenAPI v3 has them as they are, with the fields of every object. OpenAPI v2 cannot say all of it, and kubectl
takes some of what it can say amiss: nullable fields lose their type, open ones their fields, and there is
no anyOf.
"""

from collections.abc import Mapping
from typing import Any

from minikube_py.meta.facts import V2_PREFIX, V3_PREFIX
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_MORE = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    f"recognized schemas to the latest internal value, and may reject unrecognized values. {_MORE}#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from "
    f"the endpoint the client submits requests to. Cannot be updated. In CamelCase. {_MORE}#types-kinds"
)
_OPEN, _EITHER = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"
_EMBEDDED = "x-kubernetes-embedded-resource"
_NOT_IN_V2 = frozenset(("allOf", "anyOf", "oneOf", "not", "nullable"))
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def custom_schema(kind: Kind, version: int) -> Obj:
    """The schema of a custom resource."""
    raw = kind.schema or {}
    told = _gvk(kind, kind.kind) | _selectable(kind)
    if version == 2 and raw.get(_OPEN):  # kubectl would take all but the fields named for unknown
        return {"type": "object"} | told
    body = _for_v2(raw) if version == 2 else _for_v3(raw)
    body["properties"] = {
        **(body.get("properties") or {}),
        **_own("ObjectMeta", "Standard object's metadata.", version),
    }
    return body | {"type": "object"} | told


def _selectable(kind: Kind) -> Obj:
    """Which fields of its own a field selector may name."""
    paths = [{"fieldPath": name} for name in kind.fields]
    return {"x-kubernetes-selectable-fields": paths} if paths else {}


def list_schema(kind: Kind, name: str, version: int) -> Obj:
    """The schema of a list of objects whose schema is `name`."""
    told = f"List of {kind.plural}. {_MORE}"
    items = {"description": told, "type": "array", "items": {"$ref": _prefix(version) + name}}
    return {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_own("ListMeta", "Standard list metadata.", version), "items": items},
    } | _gvk(kind, kind.list_kind)


def _prefix(version: int) -> str:
    return V3_PREFIX if version == 3 else V2_PREFIX


def _own(meta: str, told: str, version: int) -> Obj:
    """The properties that every object has."""
    ref = {"$ref": f"{_prefix(version)}{_META}.{meta}"}
    described = {"description": f"{told} {_MORE}#metadata"}
    return {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
        "metadata": described | ({"allOf": [ref]} if version == 3 else ref),
    }


def _gvk(kind: Kind, name: str) -> Obj:
    gvk = {"group": kind.group, "version": kind.version, "kind": name}
    return {"x-kubernetes-group-version-kind": [gvk]}


def _below(schema: Mapping[str, Any], kept: Obj, version: int) -> None:
    """Put the schemas below a node in the form of the version, in place."""
    shape = _for_v2 if version == 2 else _for_v3
    if isinstance(kept.get("properties"), Mapping):
        kept["properties"] = {name: shape(child) for name, child in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), Mapping):
            kept[key] = shape(schema[key])
    if schema.get(_EMBEDDED) and not (version == 2 and schema.get(_OPEN)):
        own = _own("ObjectMeta", "Standard object's metadata.", version)
        kept["properties"] = {**(kept.get("properties") or {}), **own}
        kept["required"] = sorted({*(kept.get("required") or ()), "apiVersion", "kind"})


def _for_v3(schema: Mapping[str, Any]) -> Obj:
    kept: Obj = dict(schema)
    if kept.get(_EITHER) and not kept.get("anyOf") and not kept.get("allOf"):
        kept["anyOf"] = _INT_OR_STRING
    _below(schema, kept, 3)
    return kept


def _for_v2(schema: Mapping[str, Any]) -> Obj:
    kept: Obj = {key: value for key, value in schema.items() if key not in _NOT_IN_V2}
    nullable, is_open = schema.get("nullable"), schema.get(_OPEN)
    if nullable or is_open:
        kept.pop("items", None)
        kept.pop("properties", None)
    untyped = nullable or (is_open and kept.get("type") == "object")
    if untyped or ("items" not in kept and kept.get("type") == "array"):
        kept.pop("type", None)
    _below(schema, kept, 2)
    properties = schema.get("properties") or {}
    required = [
        name for name in schema.get("required") or () if not (properties.get(name) or {}).get("nullable")
    ]
    if kept.get("required") and not kept.get(_EMBEDDED):
        kept["required"] = required
        if not required:
            del kept["required"]
    return kept
