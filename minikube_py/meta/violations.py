"""Violations: refused fields, worded as apimachinery's field.Error, and the Invalid error they add up to.

Kinds yield these from `validate`; the registry gathers them with `invalid_error`. Paths are as a client sees
them: `spec.containers[0].name`, `metadata.labels`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from minikube_py.errors import Cause, Invalid
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.objects import Obj, dig

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"


def shown(value: Any) -> str:
    """`value` as a message shows it: JSON, floats as Go prints them, nothing as `"null"`."""
    if value is None:
        return '"null"'
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        return str(value)


def _detailed(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(path: str, detail: str = "") -> Violation:
    """`Required value[: detail]`."""
    return Cause("FieldValueRequired", _detailed("Required value", detail), path)


def invalid(path: str, value: Any, detail: str = "") -> Violation:
    """`Invalid value: <value>[: detail]`."""
    return Cause("FieldValueInvalid", _detailed(f"Invalid value: {shown(value)}", detail), path)


def omitted(path: str, detail: str) -> Violation:
    """`Invalid value: <detail>`: what is wrong is no single value."""
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def type_invalid(path: str, value: Any, detail: str = "") -> Violation:
    """`Invalid value: <value>[: detail]` for a value of the wrong type."""
    return Cause("FieldValueTypeInvalid", _detailed(f"Invalid value: {shown(value)}", detail), path)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Violation:
    """`Unsupported value: <value>: supported values: "a", "b"`, in the order given."""
    listed = ", ".join(f'"{one}"' for one in supported)
    detail = f"supported values: {listed}" if listed else ""
    return Cause("FieldValueNotSupported", _detailed(f"Unsupported value: {shown(value)}", detail), path)


def forbidden(path: str, detail: str = "") -> Violation:
    """`Forbidden[: detail]`."""
    return Cause("FieldValueForbidden", _detailed("Forbidden", detail), path)


def duplicate(path: str, value: Any, detail: str = "") -> Violation:
    """`Duplicate value: <value>[: detail]`."""
    return Cause("FieldValueDuplicate", _detailed(f"Duplicate value: {shown(value)}", detail), path)


def not_found(path: str, value: Any, detail: str = "") -> Violation:
    """`Not found: <value>[: detail]`: something that the value names does not exist."""
    return Cause("FieldValueNotFound", _detailed(f"Not found: {shown(value)}", detail), path)


def too_long(path: str, length: int) -> Violation:
    """`Too long: may not be more than <length> bytes`."""
    unit = "byte" if length == 1 else "bytes"
    return Cause("FieldValueTooLong", f"Too long: may not be more than {length} {unit}", path)


def too_many(path: str, actual: int, limit: int) -> Violation:
    """`Too many: <actual>: must have at most <limit> items`."""
    unit = "item" if limit == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {actual}: must have at most {limit} {unit}", path)


def immutable(obj: Mapping[str, Any], old: Mapping[str, Any], path: str) -> Iterable[Violation]:
    """A violation where the value at the dotted `path` is no longer that of `old`."""
    new = dig(obj, path)
    if new != dig(old, path):
        yield invalid(path, new, IMMUTABLE)


def non_negative(obj: Mapping[str, Any], path: str) -> Iterable[Violation]:
    """A violation where the number at the dotted `path` is below 0; an absent one passes."""
    value = dig(obj, path)
    if value is not None and value < 0:
        yield invalid(path, value, NOT_NEGATIVE)


def one_of(
    obj: Mapping[str, Any], path: str, supported: Sequence[str], *, need: bool = False
) -> Iterable[Violation]:
    """A violation where the value at `path` is none of `supported` (or is absent, with `need`)."""
    value = dig(obj, path)
    if value in (None, ""):
        if need:
            yield required(path)
    elif value not in supported:
        yield not_supported(path, value, supported)


def below(path: str, violations: Iterable[Violation]) -> Iterable[Violation]:
    """The same violations with `path` in front of their fields."""
    for one in violations:
        joint = "" if one.field.startswith("[") or not one.field else "."
        yield Cause(one.reason, one.message, f"{path}{joint}{one.field}")


def invalid_error(kind: Kind, name: str, causes: Iterable[Violation]) -> Invalid:
    """The Invalid (422) that names every cause: `Pod "x" is invalid: spec.y: Required value`, or `[a, b]`."""
    listed = tuple(causes)
    details: Obj = {"name": name, "group": kind.group, "kind": kind.kind}
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    # Repeated messages are told once, as Kubernetes' aggregate does; details.causes keeps them all.
    texts = list(dict.fromkeys(f"{one.field}: {one.message}" if one.field else one.message for one in listed))
    told = "" if not texts else f": {texts[0]}" if len(texts) == 1 else f": [{', '.join(texts)}]"
    kept = {key: value for key, value in details.items() if value}
    return Invalid(f'{qualified} "{name}" is invalid{told}', details=kept, causes=listed)
