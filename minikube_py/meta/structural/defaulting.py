"""Defaults of a structural schema, filled into an object in place.

As upstream (CustomResourceDefinitions, "Defaulting" and "Defaulting and Nullable"): a missing field, and a null
where null is not allowed, gets its default, then defaults are filled in below it. Parts of a schema without any
default cost nothing: the walk is compiled of those with one, when it is first needed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from minikube_py.meta.objects import copy
from minikube_py.meta.structural.nodes import Schema

Fill = Callable[[Any], None]


def compile_default(schema: Schema) -> Fill | None:
    """What fills in the defaults below a schema; None where there are none."""
    if schema.get("properties"):
        return _properties(schema["properties"])
    items, additional = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, Mapping):
        return _items(items)
    return _values(additional) if isinstance(additional, Mapping) else None


def _properties(properties: Mapping[str, Schema]) -> Fill | None:
    defaults: list[tuple[str, Any, bool]] = []
    below: list[tuple[str, Fill]] = []
    for name, schema in properties.items():
        if schema.get("default") is not None:
            defaults.append((name, schema["default"], bool(schema.get("nullable"))))
        if fill := compile_default(schema):
            below.append((name, fill))
    if not defaults and not below:
        return None

    def fill_all(value: Any) -> None:
        if value.__class__ is not dict:
            return
        for name, default, nullable in defaults:
            if value.get(name) is None and (name not in value or not nullable):
                value[name] = copy(default) if default.__class__ in (dict, list) else default
        for name, fill in below:
            if name in value:
                fill(value[name])

    return fill_all


def _items(schema: Schema) -> Fill | None:
    fill, default, nullable = compile_default(schema), schema.get("default"), schema.get("nullable")
    if fill is None and default is None:
        return None

    def fill_all(value: Any) -> None:
        if value.__class__ is not list:
            return
        for at, item in enumerate(value):
            if item is None and default is not None and not nullable:
                value[at] = copy(default)
            if fill is not None:
                fill(value[at])

    return fill_all


def _values(schema: Schema) -> Fill | None:
    fill, default, nullable = compile_default(schema), schema.get("default"), schema.get("nullable")
    if fill is None and default is None:
        return None

    def fill_all(value: Any) -> None:
        if value.__class__ is not dict:
            return
        for name, item in value.items():
            if item is None and default is not None and not nullable:
                value[name] = copy(default)
            if fill is not None:
                fill(value[name])

    return fill_all
