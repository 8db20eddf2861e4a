"""What is wrong with a value under a schema, worded as kube-openapi's validator words it.

The slow walk, for what `checks` did not pass. With the value's old state, what has not changed is let pass
(ratcheting, KEP-4008): a part is compared with the same field, or the item of the same keys in a list-type map.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from minikube_py.meta.kind import Violation
from minikube_py.meta.patch.merge import identical
from minikube_py.meta.regex import compiled as compiled_pattern
from minikube_py.meta.structural.formats import string_format
from minikube_py.meta.structural.nodes import Schema, go_number, in_range, is_multiple, is_one_of, types_of
from minikube_py.meta.violations import invalid, not_supported, required, too_long, too_many, type_invalid

ABSENT: Final = object()
"""No old value to compare with."""
ROOT: Final = "<nil>"
"""The path that Go prints for the whole object."""


class Found(NamedTuple):
    """The faults, and how many checks were made: of alternatives, that with the most tells its faults."""

    faults: list[Violation]
    checked: int


def faults_of(schema: Schema, value: Any, old: Any = ABSENT, path: str = "") -> list[Violation]:
    """Every fault of `value`, but for those of parts that are the same in `old`."""
    return _look(schema, value, old, path).faults


def _look(schema: Schema, value: Any, old: Any, path: str) -> Found:
    if old is not ABSENT and identical(value, old):
        return Found([], 1)
    found: list[Violation] = []
    checked = 2
    if fault := _type_fault(schema, value, path):
        found.append(fault)
    if value is not None:
        checked += _compositions(schema, value, path, found)
        if value.__class__ is str:
            found += _string_faults(schema, value, path)
        elif value.__class__ in (int, float):
            checked += 1
            found += _number_faults(schema, value, path)
        elif value.__class__ is list:
            checked += _list_faults(schema, value, old, path, found)
    if schema.get("enum") and not is_one_of(value, schema["enum"]):
        texts = [one if isinstance(one, str) else orjson.dumps(one).decode() for one in schema["enum"]]
        found.append(not_supported(path or ROOT, "null" if value is None else value, texts))
    if value.__class__ is dict:
        checked += _object_faults(schema, value, old, path, found)
    return Found(found, checked)


def type_name(value: Any) -> str:
    """What JSON schema calls the value's type."""
    names = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(value.__class__, "null")


def _type_fault(schema: Schema, value: Any, path: str) -> Violation | None:
    names, given = types_of(schema), type_name(value)
    if not names or (value is None and schema.get("nullable")) or given in names:
        return None
    whole = given == "number" and value.is_integer() and "integer" in names
    if whole or (given == "integer" and "number" in names):
        return None
    expected = ",".join(names)
    if value is not None and given not in ("string", "array") and (form := _checked_format(schema)):
        expected, given = form, {"integer": "int64", "number": "double"}.get(given, "")
    return type_invalid(path or ROOT, given, f'{path} in body must be of type {expected}: "{given}"')


def _checked_format(schema: Schema) -> str:
    form = schema.get("format") or ""
    numbers = {"integer": ("int32", "int64"), "number": ("float", "double")}.get(schema.get("type", ""), ())
    return form if string_format(schema) is not None or form in numbers else ""


def _compositions(schema: Schema, value: Any, path: str, found: list[Violation]) -> int:
    checked = 1
    if schema.get("anyOf"):
        looked = [_look(one, value, ABSENT, path) for one in schema["anyOf"]]
        if all(one.faults for one in looked):
            found.append(_whole(f'"{path}" must validate at least one schema (anyOf)'))
            found += _best(looked).faults
        checked += max(one.checked for one in looked)
    if schema.get("oneOf"):
        looked = [_look(one, value, ABSENT, path) for one in schema["oneOf"]]
        valid = sum(not one.faults for one in looked)
        if valid != 1:
            told = f"Found {valid} valid alternatives" if valid else "Found none valid"
            found.append(_whole(f'"{path}" must validate one and only one schema (oneOf). {told}'))
            found += _best(looked).faults if not valid else ()
        checked += max(one.checked for one in looked)
    if schema.get("allOf"):
        looked = [_look(one, value, ABSENT, path) for one in schema["allOf"]]
        valid = sum(not one.faults for one in looked)
        found += [fault for one in looked for fault in one.faults]
        if valid != len(looked):
            none = "" if valid else ". None validated"
            found.append(_whole(f'"{path}" must validate all the schemas (allOf){none}'))
        checked += sum(one.checked for one in looked)
    if schema.get("not") and not _look(schema["not"], value, ABSENT, path).faults:
        found.append(_whole(f'"{path}" must not validate the schema (not)'))
    return checked


def _whole(message: str) -> Violation:
    return invalid(ROOT, "", message)


def _best(looked: Sequence[Found]) -> Found:
    return max(looked, key=lambda one: one.checked)


def _string_faults(schema: Schema, value: str, path: str) -> list[Violation]:
    found: list[Violation] = []
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    place = path or ROOT
    if longest is not None and len(value) > longest:
        found.append(too_long(place, longest))
    elif shortest and len(value) < shortest:
        found.append(invalid(place, value, f"{path} in body should be at least {shortest} chars long"))
    elif schema.get("pattern") and compiled_pattern(schema["pattern"]).search(value) is None:
        found.append(invalid(place, value, f"{path} in body should match '{schema['pattern']}'"))
    form = string_format(schema)
    if form is not None and not form(value):
        told = f"{path} in body must be of type {schema['format']}: {orjson.dumps(value).decode()}"
        found.append(type_invalid(place, value, told))
    return found


def _number_faults(schema: Schema, value: float, path: str) -> list[Violation]:
    found: list[Violation] = []

    def refuse(should: str, bound: float) -> None:
        shown = int(bound) if value.__class__ is int and float(bound).is_integer() else bound
        found.append(invalid(path or ROOT, value, f"{path} in body should be {should} {go_number(shown)}"))

    if not in_range(schema, value):
        form = schema["format"]
        told = f"Checked value must be of type {schema['type']} with format {form} in {path}"
        found.append(_whole(told))
    factor, least, greatest = (schema.get(key) for key in ("multipleOf", "minimum", "maximum"))
    if factor and not is_multiple(value, factor):
        refuse("a multiple of", factor)
    if least is not None:
        if schema.get("exclusiveMinimum"):
            if value <= least:
                refuse("greater than", least)
        elif value < least:
            refuse("greater than or equal to", least)
    if greatest is not None:
        if schema.get("exclusiveMaximum"):
            if value >= greatest:
                refuse("less than", greatest)
        elif value > greatest:
            refuse("less than or equal to", greatest)
    return found


def _list_faults(schema: Schema, value: list[Any], old: Any, path: str, found: list[Violation]) -> int:
    checked = 1
    items = schema.get("items")
    if isinstance(items, Mapping):
        before = old_items(schema, old)
        for at, item in enumerate(value):
            looked = _look(items, item, before.get(key_of(schema, item), ABSENT), f"{path}[{at}]")
            found += looked.faults
            checked += looked.checked
    longest, shortest = schema.get("maxItems"), schema.get("minItems")
    if shortest and len(value) < shortest:
        told = f"{path} in body should have at least {shortest} items"
        found.append(invalid(path or ROOT, len(value), told))
    if longest is not None and len(value) > longest:
        found.append(too_many(path or ROOT, len(value), longest))
    return checked


def key_of(schema: Schema, item: Any) -> bytes:
    """What tells an item of a list-type map from the others."""
    if item.__class__ is not dict:
        return b""
    return orjson.dumps([item.get(key) for key in schema.get("x-kubernetes-list-map-keys") or ()])


def old_items(schema: Schema, old: Any) -> dict[bytes, Any]:
    """The items of the old list by their keys; empty where items cannot be told apart."""
    if schema.get("x-kubernetes-list-type") != "map" or old.__class__ is not list:
        return {}
    return {key_of(schema, item): item for item in reversed(old) if item.__class__ is dict}


def _object_faults(schema: Schema, value: dict[str, Any], old: Any, path: str, found: list[Violation]) -> int:
    most, fewest = schema.get("maxProperties"), schema.get("minProperties")
    if fewest and len(value) < fewest:
        told = f"{path} in body should have at least {fewest} properties"
        found.append(invalid(path or ROOT, fewest, told))
        return 0
    if most is not None and len(value) > most:
        found.append(too_many(path or ROOT, len(value), most))
        return 0
    checked = 0
    before = old if old.__class__ is dict else {}
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name)
        if below is None:
            if not isinstance(additional, Mapping):
                continue
            below = additional
        looked = _look(below, item, before.get(name, ABSENT), f"{path}.{name}" if path else name)
        found += looked.faults
        checked += looked.checked
    for name in schema.get("required") or ():
        if name not in value:
            found.append(required(f"{path}.{name}" if path else name))
    return checked
