"""Whether a schema may be that of a CustomResourceDefinition's version: the whole judgement of a schema."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import orjson

from minikube_py.aio.haste import spend
from minikube_py.meta.decoding import decode
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import copy
from minikube_py.meta.schema import Type
from minikube_py.meta.structural.embedded import compile_embedded
from minikube_py.meta.structural.faults import ROOT, faults_of
from minikube_py.meta.structural.keywords import Place, check_keywords
from minikube_py.meta.structural.nodes import Schema, is_simple, mentions
from minikube_py.meta.structural.rules import RuleCheck
from minikube_py.meta.structural.structure import check_structure
from minikube_py.meta.violations import forbidden, invalid

_AT_ROOT = {
    "description": "Description",
    "type": "Type",
    "format": "Format",
    "title": "Title",
    "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum",
    "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength",
    "minLength": "MinLength",
    "pattern": "Pattern",
    "maxItems": "MaxItems",
    "minItems": "MinItems",
    "uniqueItems": "UniqueItems",
    "multipleOf": "MultipleOf",
    "required": "Required",
    "items": "Items",
    "properties": "Properties",
    "externalDocs": "ExternalDocs",
    "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}
"""What may stand at the root of a schema whose kind has a status subresource, by JSON and Go names."""


def check_schema(schema: Schema, path: str, *, has_status: bool) -> list[Violation]:
    """Every fault of a version's schema; `path` is where it stands."""
    spend(len(orjson.dumps(schema)) // 4)
    found = list(_root(schema, path)) if has_status else []
    if schema.get("nullable"):
        found.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    structural = check_structure(schema, path) or _defaults(schema, path)
    rules = RuleCheck()
    found += structural
    place = Place(path, root=True, rules=not structural)
    found += check_keywords(schema, place, rules)
    if not structural:
        found += rules.check_total(path)
    return found


def _root(schema: Schema, path: str) -> Iterable[Violation]:
    if schema.get("type") not in (None, "", "object"):
        told = 'only "object" is allowed as the type at the root of the schema if the status subresource is '
        told += "enabled"
        yield invalid(f"{path}.type", schema["type"], told)
    elif any(value not in (None, "", False, [], {}) for key, value in schema.items() if key not in _AT_ROOT):
        names = " ".join(_AT_ROOT.values())
        told = (
            f"only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
        )
        yield invalid(path, schema, told)


def _defaults(schema: Schema, path: str) -> list[Violation]:
    """The faults of defaults: each must be valid under its own schema, and have no unknown field."""
    found: list[Violation] = []
    if not mentions(schema, ("default",)):
        return found
    _walk(schema, path, found, in_meta=False, resource=True)
    return found


def _walk(schema: Schema, path: str, found: list[Violation], *, in_meta: bool, resource: bool = False) -> None:
    default = schema.get("default")
    if default is not None:
        found += _default(schema, default, f"{path}.default", in_meta=in_meta)
    items = schema.get("items")
    if isinstance(items, Mapping):
        _walk(items, f"{path}.items", found, in_meta=in_meta)
    embedded = resource or bool(schema.get("x-kubernetes-embedded-resource"))
    for name, child in (schema.get("properties") or {}).items():
        if is_simple(child):
            continue
        meta = in_meta or (embedded and name in ("metadata", "apiVersion", "kind"))
        _walk(child, f"{path}.properties[{name}]", found, in_meta=meta)


def _default(schema: Schema, default: object, path: str, *, in_meta: bool) -> Iterable[Violation]:
    value = copy(default)
    if not in_meta and isinstance(value, dict | list):
        pruned, unknown = decode(Type(schema, schema, custom=True), value)
        if unknown or pruned != value:
            yield invalid(path, default, "must not have unknown fields")
    if look := compile_embedded(schema):
        yield from look(value, path)
    for fault in faults_of(schema, value):
        yield replace(fault, field=path if fault.field == ROOT else f"{path}.{fault.field}")
