"""What a schema may say besides being structural: unsupported keywords, list and map types, defaults in places
where there may be none. Worded as apiextensions-apiserver words it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from minikube_py.meta.kind import Violation
from minikube_py.meta.structural.nodes import Schema, is_simple
from minikube_py.meta.violations import forbidden, invalid, not_supported, required

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_META = frozenset(("metadata", "kind", "apiVersion"))
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_QUADRATIC = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
_RARE = frozenset(
    (
        *_UNSUPPORTED,
        "default",
        "uniqueItems",
        "additionalProperties",
        "not",
        "allOf",
        "oneOf",
        "anyOf",
        "items",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-map-type",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    )
)


class Place(NamedTuple):
    """Where the walk stands, and what that forbids."""

    path: str
    root: bool = False
    in_meta: bool = False
    no_defaults: str | None = None
    """Why defaults are forbidden, None where they are not."""
    uncorrelated: str = ""
    """The first schema above whose values cannot be told apart between two states of an object."""
    rules: bool = True
    """Whether x-kubernetes-validations are looked at here."""
    cardinality: int = 1
    """How many values of the schema an object can hold at most."""

    def below(self, step: str, **more: Any) -> "Place":
        """The place one step further, where what is in `more` holds too."""
        return self._replace(path=f"{self.path}.{step}", root=False, **more)


Rules = Callable[[Schema, Place], Iterable[Violation]]
"""Judges the x-kubernetes-validations of a node."""


def check_keywords(s: Schema, place: Place, rules: Rules) -> Iterable[Violation]:
    """The faults of a schema and of all below it."""
    path = place.path
    if s.get("type") and s["type"] not in TYPES:
        yield not_supported(f"{path}.type", s["type"], TYPES)
        if s["type"] == "null":
            told = "type cannot be set to null, use nullable as an alternative"
            yield forbidden(f"{path}.type", told)
    if s.keys() & _RARE:
        yield from _of_node(s, place)
        yield from _of_children(s, place, rules)
    uncorrelated = place.uncorrelated
    if s.get("x-kubernetes-map-type") == "atomic":
        uncorrelated = uncorrelated or path
    resource = place.root or bool(s.get("x-kubernetes-embedded-resource"))
    for name, child in (s.get("properties") or {}).items():
        if is_simple(child):
            continue
        below = place.below(f"properties[{name}]", uncorrelated=uncorrelated)
        if resource and name in _META:
            below = below._replace(in_meta=True)
            if place.root:
                below = below._replace(no_defaults=f" in top-level {name}")
        yield from check_keywords(child, below, rules)
    if s.get("x-kubernetes-validations"):
        yield from rules(s, place)


def _of_node(s: Schema, place: Place) -> Iterable[Violation]:
    path = place.path
    if s.get("default") is not None and place.no_defaults is not None:
        yield forbidden(f"{path}.default", f"must not be set{place.no_defaults}")
    for key in _UNSUPPORTED:
        if s.get(key):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    if isinstance(s.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_meta and s.get("x-kubernetes-embedded-resource"):
        yield forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    if s.get("uniqueItems"):
        yield forbidden(f"{path}.uniqueItems", _QUADRATIC)
    additional = s.get("additionalProperties")
    if s.get("properties") and (additional is False or isinstance(additional, Mapping)):
        told = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", told)
    if s.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    yield from _map_type(s, path)
    yield from _list_type(s, path)


def _of_children(s: Schema, place: Place, rules: Rules) -> Iterable[Violation]:
    """The faults below all but properties."""
    additional, items = s.get("additionalProperties"), s.get("items")
    if isinstance(additional, Mapping):
        below = place.below("additionalProperties", cardinality=_times(place, s, "maxProperties"))
        if place.in_meta:
            below = below._replace(no_defaults=" inside additionalProperties applying to object metadata")
        yield from check_keywords(additional, below, rules)
    for key in ("not", "allOf", "oneOf", "anyOf"):
        nested = s.get(key)
        if isinstance(nested, Mapping):
            yield from check_keywords(nested, place.below(key, rules=False), rules)
        for at, one in enumerate(nested if isinstance(nested, list) else ()):
            yield from check_keywords(one, place.below(f"{key}[{at}]", rules=False), rules)
    if isinstance(items, Mapping):
        uncorrelated = place.uncorrelated
        if s.get("x-kubernetes-list-type") != "map":
            uncorrelated = uncorrelated or place.path
        below = place.below("items", uncorrelated=uncorrelated, cardinality=_times(place, s, "maxItems"))
        yield from check_keywords(items, below, rules)


UNBOUNDED = 1 << 62


def _times(place: Place, s: Schema, key: str) -> int:
    most = s.get(key)
    return UNBOUNDED if most is None else min(UNBOUNDED, place.cardinality * most)


def _map_type(s: Schema, path: str) -> Iterable[Violation]:
    type_ = s.get("x-kubernetes-map-type")
    if type_ is None:
        return
    if s.get("type") != "object":
        yield _wrong_type(s, path, "must be object if x-kubernetes-map-type is specified")
    if type_ not in ("atomic", "granular"):
        yield not_supported(f"{path}.x-kubernetes-map-type", type_, ("atomic", "granular"))


def _wrong_type(s: Schema, path: str, told: str) -> Violation:
    given = s.get("type")
    return invalid(f"{path}.type", given, told) if given else required(f"{path}.type", told)


def _list_type(s: Schema, path: str) -> Iterable[Violation]:
    type_, items = s.get("x-kubernetes-list-type"), s.get("items")
    keys = s.get("x-kubernetes-list-map-keys") or []
    if type_ is not None and s.get("type") != "array":
        yield _wrong_type(s, path, "must be array if x-kubernetes-list-type is specified")
    elif type_ == "set" and isinstance(items, Mapping):
        yield from _set_items(items, f"{path}.items")
    if type_ is not None and type_ not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.x-kubernetes-list-type", type_, ("atomic", "set", "map"))
    if keys and type_ != "map":
        told = "must be map if x-kubernetes-list-map-keys is non-empty"
        place = f"{path}.x-kubernetes-list-type"
        yield required(place, told) if type_ is None else invalid(place, type_, told)
    if type_ == "map":
        yield from _map_list(s, keys, path)
    if type_ in ("set", "map") and isinstance(items, Mapping):
        yield from _element(s, items, keys, path)


def _set_items(items: Schema, path: str) -> Iterable[Violation]:
    told = "must be atomic as item of a list with x-kubernetes-list-type=set"
    inner = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and inner not in (None, "atomic"):
        yield invalid(f"{path}.x-kubernetes-list-type", inner, told)
    elif items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield invalid(f"{path}.x-kubernetes-map-type", inner, told)


def _map_list(s: Schema, keys: list[str], path: str) -> Iterable[Violation]:
    items, place = s.get("items"), f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(place, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    if not isinstance(items, Mapping):
        return
    if items.get("type") != "object":
        told = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", told)
        return
    properties = items.get("properties") or {}
    for at, key in enumerate(keys):
        if key not in properties:
            yield invalid(place, keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            told = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{path}.items.properties[{key}].type", items["type"], told)
        if key in keys[:at]:
            yield invalid(place, keys, "must not contain duplicate entries")


def _element(s: Schema, items: Schema, keys: list[str], path: str) -> Iterable[Violation]:
    """Elements of sets and maps are never null, and the keys of maps never missing."""
    type_ = s["x-kubernetes-list-type"]
    if items.get("nullable"):
        told = f"cannot be nullable when x-kubernetes-list-type is {type_}"
        yield forbidden(f"{path}.items.nullable", told)
    properties = items.get("properties") or {}
    for key in keys if type_ == "map" else ():
        schema, place = properties.get(key), f"{path}.items.properties[{key}]"
        told = "this property is in x-kubernetes-list-map-keys, so it"
        if schema is None:
            continue
        if key not in (items.get("required") or ()) and schema.get("default") is None:
            yield required(f"{place}.default", f"{told} must have a default or be a required property")
        if schema.get("nullable"):
            yield forbidden(f"{place}.nullable", f"{told} cannot be nullable")
