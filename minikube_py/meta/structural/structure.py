"""Whether an OpenAPI v3 schema is structural, as KEP-2337 and the documentation of CustomResourceDefinitions
demand it: every field has a type outside of allOf, anyOf, oneOf and not, and these only restrict values."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.regex import compiled as compiled_pattern
from minikube_py.meta.structural.nodes import Schema, is_simple
from minikube_py.meta.violations import forbidden, invalid, required

ROOT, ITEM, FIELD = "root", "item", "field"
_EMPTY = {
    ROOT: "must not be empty at the root",
    ITEM: "must not be empty for specified array items",
    FIELD: "must not be empty for specified object fields",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_COMPOSED = ("anyOf", "allOf", "oneOf", "not")
_UNSTRUCTURAL = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "externalDocs": "must be undefined to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
"""What may not stand in a nested value validation."""
_NOT_META = "must not specify anything other than name and generateName, but metadata is implicitly specified"


def check_structure(schema: Schema, path: str) -> list[Violation]:
    """Every reason why a schema is not structural, sorted as upstream sorts them."""
    found: list[Violation] = []
    _node(schema, ROOT, path, found)
    found += _completeness(schema, schema, path, path)
    return sorted(found, key=lambda one: f"{one.field}: {one.message}")


def _node(s: Schema, level: str, path: str, found: list[Violation]) -> None:
    type_, items = s.get("type") or "", s.get("items")
    if type_ == "array" and items is None:
        found.append(required(f"{path}.items", "must be specified"))
    if isinstance(items, Mapping):
        _node(items, ITEM, f"{path}.items", found)
    for name, child in (s.get("properties") or {}).items():
        if not is_simple(child):
            _node(child, FIELD, f"{path}.properties[{name}]", found)
    additional = s.get("additionalProperties")
    if additional is not None:
        if level == ROOT:
            found.append(forbidden(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(additional, Mapping):
            _node(additional, FIELD, f"{path}.additionalProperties", found)
    if s.keys() & _SPECIAL:
        _special(s, path, found)
    if not type_ and not any(
        s.get(f"x-kubernetes-{one}")
        for one in ("int-or-string", "preserve-unknown-fields", "embedded-resource")
    ):
        found.append(required(f"{path}.type", _EMPTY[level]))
    if level == ROOT or s.get("x-kubernetes-embedded-resource"):
        _resource(s, level, path, found)


_SPECIAL = frozenset((*_COMPOSED, "pattern", "x-kubernetes-int-or-string", "x-kubernetes-embedded-resource"))


def _special(s: Schema, path: str, found: list[Violation]) -> None:
    """What few nodes have: patterns, nested value validations, extensions that exclude each other."""
    place = f"{path}.x-kubernetes-"
    if s.get("x-kubernetes-int-or-string"):
        for other in ("preserve-unknown-fields", "embedded-resource"):
            if s.get(f"x-kubernetes-{other}"):
                told = "must be false if x-kubernetes-int-or-string is true"
                found.append(invalid(f"{place}{other}", True, told))
    if s.get("x-kubernetes-embedded-resource"):
        told = "must be object if x-kubernetes-embedded-resource is true"
        if not s.get("type"):
            found.append(required(f"{path}.type", told))
        elif s["type"] != "object":
            found.append(invalid(f"{path}.type", s["type"], told))
        if s.get("additionalProperties") is not None:
            told = "must not be used if x-kubernetes-embedded-resource is set"
            found.append(forbidden(f"{path}.additionalProperties", told))
        if not s.get("x-kubernetes-preserve-unknown-fields") and not s.get("properties"):
            told = "must not be empty if x-kubernetes-embedded-resource is true without "
            found.append(required(f"{path}.properties", f"{told}x-kubernetes-preserve-unknown-fields"))
    skip_any = s.get("anyOf") == _INT_OR_STRING
    all_of = s.get("allOf") or []
    skip_first = len(all_of) > 0 and all_of[0].get("anyOf") == _INT_OR_STRING
    found += _values(s, path, skip_any=skip_any, skip_first=skip_first)


def _values(v: Schema, path: str, *, skip_any: bool = False, skip_first: bool = False) -> Iterable[Violation]:
    """The faults of the value validations of a node."""
    if not skip_any:
        for at, one in enumerate(v.get("anyOf") or ()):
            yield from _nested(one, f"{path}.anyOf[{at}]")
    for at, one in enumerate(v.get("allOf") or ()):
        yield from _nested(one, f"{path}.allOf[{at}]", skip_any=skip_first and at == 0)
    for at, one in enumerate(v.get("oneOf") or ()):
        yield from _nested(one, f"{path}.oneOf[{at}]")
    if v.get("not") is not None:
        yield from _nested(v["not"], f"{path}.not")
    if v.get("pattern"):
        try:
            compiled_pattern(v["pattern"])
        except ValueError as error:
            told = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", v["pattern"], told)


def _nested(v: Schema, path: str, *, skip_any: bool = False) -> Iterable[Violation]:
    yield from _values(v, path, skip_any=skip_any)
    if isinstance(v.get("items"), Mapping):
        yield from _nested(v["items"], f"{path}.items")
    properties = v.get("properties") or {}
    for name, child in properties.items():
        yield from _nested(child, f"{path}.properties[{name}]")
    for key, told in _UNSTRUCTURAL.items():
        if v.get(key) not in (None, "", False, []):
            yield forbidden(f"{path}.{key}", told)
    if "metadata" in properties:
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _resource(s: Schema, level: str, path: str, found: list[Violation]) -> None:
    """The faults of the root, and of an embedded resource, as an object of Kubernetes."""
    if level == ROOT and s.get("type") not in (None, "", "object"):
        found.append(invalid(f"{path}.type", s["type"], "must be object at the root"))
    properties = s.get("properties") or {}
    for name in ("kind", "apiVersion"):
        given = (properties.get(name) or {}).get("type") or ""
        if name in properties and given != "string":
            found.append(invalid(f"{path}.properties[{name}].type", given, "must be string"))
    if "metadata" in properties:
        given = properties["metadata"].get("type") or ""
        if given != "object":
            found.append(invalid(f"{path}.properties[metadata].type", given, "must be object"))
        if level == ROOT:
            _metadata(properties["metadata"], path, found)


def _metadata(meta: Schema, path: str, found: list[Violation]) -> None:
    named = set(meta.get("properties") or ()) <= {"name", "generateName"}
    rest = {key: value for key, value in meta.items() if key not in ("type", "default", "properties")}
    if not named or any(value not in (None, "", False, [], {}) for value in rest.values()):
        found.append(forbidden(f"{path}.properties[metadata]", _NOT_META))


def _completeness(v: Schema, s: Any, s_path: str, v_path: str) -> Iterable[Violation]:
    """What value validations name that the structure does not have."""
    if v.get("not") is not None:
        yield from _nested_completeness(v["not"], s, s_path, f"{v_path}.not")
    for key in ("allOf", "anyOf", "oneOf"):
        for at, one in enumerate(v.get(key) or ()):
            yield from _nested_completeness(one, s, s_path, f"{v_path}.{key}[{at}]")


def _nested_completeness(v: Schema, s: Any, s_path: str, v_path: str) -> Iterable[Violation]:
    if not isinstance(s, Mapping):
        yield required(s_path, f"because it is defined in {v_path}")
        return
    yield from _completeness(v, s, s_path, v_path)
    if isinstance(v.get("items"), Mapping):
        yield from _nested_completeness(v["items"], s.get("items"), f"{s_path}.items", f"{v_path}.items")
    known = s.get("properties") or {}
    for name, child in (v.get("properties") or {}).items():
        below = f".properties[{name}]"
        yield from _nested_completeness(child, known.get(name), f"{s_path}{below}", f"{v_path}{below}")
