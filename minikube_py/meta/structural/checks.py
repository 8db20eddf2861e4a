"""Whether a value is of a schema, as compiled functions without paths or messages: the common case, fast.

A check never passes what `faults` would refuse; what it does not pass, `faults` looks at again. Nodes are
compiled when a value first reaches them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minikube_py.meta.regex import compiled as compiled_pattern
from minikube_py.meta.structural.faults import faults_of
from minikube_py.meta.structural.formats import string_format
from minikube_py.meta.structural.nodes import Schema, in_range, is_multiple, is_one_of, types_of

Check = Callable[[Any], bool]

_CLASSES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_EVERY = (str, bool, int, float, list, dict)
_BARE = frozenset(("type", "description", "title", "example", "externalDocs", "default"))
"""What of a schema a value is not checked against here."""
_NONE: type = type(None)


def compile_check(schema: Schema) -> Check | type:
    """The check of a schema; a bare class where the value need only be one of it."""
    names = types_of(schema)
    bare = all(key in _BARE or key.startswith("x-kubernetes") for key in schema)
    if bare and len(names) == 1 and names[0] in ("string", "boolean", "integer"):
        return _CLASSES[names[0]][0]
    classes = {one for name in names for one in _CLASSES.get(name, ())} if names else set(_EVERY)
    more = _composed(schema)
    by_class: dict[type, Check | None] = {one: _of_class(one, schema, more) for one in classes}
    if schema.get("nullable") or not names:
        by_class[_NONE] = _with_enum(schema, None)
    refuse: Check = _refuse

    def check(value: Any) -> bool:
        test = by_class.get(value.__class__, refuse)
        return test is None or test(value)

    return check


def passes(check: Check | type) -> Check:
    """The check as a function."""
    return (lambda value: value.__class__ is check) if isinstance(check, type) else check


def _refuse(value: Any) -> bool:
    return False


def _of_class(one: type, schema: Schema, more: Sequence[Check]) -> Check | None:
    """The check of a value of that class; None where nothing is left to check."""
    found: list[Check] = []
    if one is str:
        found += _of_string(schema)
    elif one in (int, float):
        found += _of_number(schema)
    elif one is list:
        found += _of_list(schema)
    elif one is dict:
        found += _of_object(schema)
    if enum := _with_enum(schema, None):
        found.append(enum)
    found += more
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    tests = tuple(found)
    return lambda value: all(test(value) for test in tests)


def _with_enum(schema: Schema, default: Check | None) -> Check | None:
    allowed = schema.get("enum")
    if not allowed:
        return default
    if all(one.__class__ is str for one in allowed):
        texts = frozenset(allowed)
        return lambda value: value.__class__ is str and value in texts
    return lambda value: is_one_of(value, allowed)


def _of_string(schema: Schema) -> list[Check]:
    found: list[Check] = []
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None:
        found.append(lambda value: len(value) <= longest)
    if shortest:
        found.append(lambda value: len(value) >= shortest)
    if schema.get("pattern"):
        search = compiled_pattern(schema["pattern"]).search
        found.append(lambda value: search(value) is not None)
    if form := string_format(schema):
        found.append(form)
    return found


def _of_number(schema: Schema) -> list[Check]:
    found: list[Check] = []
    greatest, least = schema.get("maximum"), schema.get("minimum")
    if greatest is not None:
        over = schema.get("exclusiveMaximum")
        found.append((lambda value: value < greatest) if over else (lambda value: value <= greatest))
    if least is not None:
        under = schema.get("exclusiveMinimum")
        found.append((lambda value: value > least) if under else (lambda value: value >= least))
    if schema.get("multipleOf"):
        factor = schema["multipleOf"]
        found.append(lambda value: is_multiple(value, factor))
    if not in_range(schema, math.inf):
        found.append(lambda value: in_range(schema, value))
    return found


def _of_list(schema: Schema) -> list[Check]:
    found: list[Check] = []
    longest, shortest = schema.get("maxItems"), schema.get("minItems")
    if longest is not None:
        found.append(lambda value: len(value) <= longest)
    if shortest:
        found.append(lambda value: len(value) >= shortest)
    if isinstance(schema.get("items"), Mapping):
        found.append(_each(schema["items"]))
    return found


def _each(schema: Schema, *, values: bool = False) -> Check:
    """The check of every element of a list, or of every value of a map."""
    made: list[Check] = []

    def check(value: Any) -> bool:
        if not made:
            made.append(passes(compile_check(schema)))
        test = made[0]
        for item in value.values() if values else value:  # noqa: SIM110 - measured: all() is slower
            if not test(item):
                return False
        return True

    return check


class _Tests(dict[str, "Check | type | None"]):
    """The checks of properties, each compiled when it is first met; None for a name that has no schema."""

    def __init__(self, properties: Mapping[str, Schema]) -> None:
        self._properties = properties

    def __missing__(self, name: str) -> "Check | type | None":
        schema = self._properties.get(name)
        if schema is None:
            return None
        self[name] = made = compile_check(schema)
        return made


def _of_object(schema: Schema) -> list[Check]:
    found: list[Check] = []
    most, fewest = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None:
        found.append(lambda value: len(value) <= most)
    if fewest:
        found.append(lambda value: len(value) >= fewest)
    if required := tuple(schema.get("required") or ()):
        needed = frozenset(required)
        found.append(lambda value: needed <= value.keys())
    additional = schema.get("additionalProperties")
    if properties := schema.get("properties"):
        found.append(_properties(properties))
    elif isinstance(additional, Mapping):
        found.append(_each(additional, values=True))
    return found


def _properties(properties: Mapping[str, Schema]) -> Check:
    tests = _Tests(properties)

    def check(value: Any) -> bool:
        for name, item in value.items():
            test = tests[name]
            if test.__class__ is type:
                if item.__class__ is not test:
                    return False
            elif test is not None and not test(item):
                return False
        return True

    return check


def _composed(schema: Schema) -> list[Check]:
    """The checks of allOf, anyOf, oneOf and not."""
    found: list[Check] = []
    if schema.get("allOf"):
        every = [passes(compile_check(one)) for one in schema["allOf"]]
        found.append(lambda value: all(test(value) for test in every))
    if schema.get("anyOf"):
        some = [passes(compile_check(one)) for one in schema["anyOf"]]
        found.append(lambda value: any(test(value) for test in some))
    if schema.get("oneOf") or schema.get("not"):
        # A check may refuse what is valid, so that it cannot tell that something is not.
        exact = {key: schema[key] for key in ("oneOf", "not") if schema.get(key)}
        found.append(_exactly(exact))
    return found


def _exactly(schema: Schema) -> Check:
    return lambda value: not faults_of(schema, value)
