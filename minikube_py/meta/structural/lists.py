"""Lists that are sets or maps: no item, or no key, twice. As upstream, in the order of the walk."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from minikube_py.meta.kind import Violation
from minikube_py.meta.structural.nodes import Schema
from minikube_py.meta.violations import duplicate, invalid

Look = Callable[[Any, str], Iterable[Violation]]


def compile_lists(schema: Schema) -> Look | None:
    """The refusals of what repeats in a value of the schema; None where nothing there is a set or map."""
    properties, additional = schema.get("properties"), schema.get("additionalProperties")
    if properties:
        below_each = {name: found for name, one in properties.items() if (found := compile_lists(one))}
        return of_properties(below_each) if below_each else None
    if isinstance(additional, Mapping):
        below = compile_lists(additional)
        return _of_values(below) if below is not None else None
    if isinstance(schema.get("items"), Mapping):
        return _of_list(schema)
    return None


def of_properties(below: Mapping[str, Look]) -> Look:
    """The refusals of an object's properties, each by its own look."""

    def look(value: Any, path: str) -> Iterable[Violation]:
        if value.__class__ is dict:
            for name, one in below.items():
                if name in value:
                    yield from one(value[name], f"{path}.{name}" if path else name)

    return look


def _of_values(below: Look) -> Look:
    def look(value: Any, path: str) -> Iterable[Violation]:
        if value.__class__ is dict:
            for name, item in value.items():
                yield from below(item, f"{path}[{name}]")

    return look


def _of_list(schema: Schema) -> Look | None:
    below, type_ = compile_lists(schema["items"]), schema.get("x-kubernetes-list-type")
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    if below is None and type_ not in ("set", "map"):
        return None

    def look(value: Any, path: str) -> Iterable[Violation]:
        if value.__class__ is not list:
            return
        if type_ == "set":
            yield from _repeated(value, value, path)
        elif type_ == "map":
            yield from _repeated_keys(value, keys, path)
        if below is not None:
            for at, item in enumerate(value):
                yield from below(item, f"{path}[{at}]")

    return look


def _repeated_keys(items: list[Any], keys: tuple[str, ...], path: str) -> Iterable[Violation]:
    for at, item in enumerate(items):
        if item is not None and item.__class__ is not dict:
            yield invalid(f"{path}[{at}]", item, "must be an object for an array of list-type map")
            return
    found = [{key: item[key] for key in keys if key in item} if item else {} for item in items]
    yield from _repeated(found, found, path)


def _repeated(items: list[Any], shown: list[Any], path: str) -> Iterable[Violation]:
    """A violation at the second appearance of each item."""
    if len(items) < 2:
        return
    seen: dict[bytes, int] = {}
    for at, item in enumerate(items):
        text = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        seen[text] = times = seen.get(text, 0) + 1
        if times == 2:
            yield duplicate(f"{path}[{at}]", shown[at])
