"""Decoding: from a client's JSON value to an object of its kind, as Kubernetes' typed decoder would see it.

A value of which `conforming` says that Kubernetes would store it as it is, is kept. Another one is walked with
paths, and a new one built: unknown fields and nulls are dropped, empty optional lists and maps too, quantities
and times are written canonically. A value of the wrong type raises Mistyped with the text of Go's decoder.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from minikube_py.meta import schema as forms
from minikube_py.meta.conforming import base64_fault, conforms
from minikube_py.meta.goformat import go_kind
from minikube_py.meta.objects import Obj, micro_timestamp, timestamp
from minikube_py.meta.quantity import canonical
from minikube_py.meta.schema import Type

MAX_UNKNOWN = 100  # Kubernetes' decoder stops reporting after as many
SHORTCUT_DEPTH = 6

_JSON_NAMES = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}


class Mistyped(Exception):
    """A value that the type cannot hold; the text is that of Go's decoder."""

    def __init__(self, text: str, path: str, expected: str, restored: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.restored = restored or text  # the same in the words of the converter, which strategic patches meet
        self.path = path  # with list indices, for messages of custom resources
        self.expected = expected


_UNNAMED = "object"
"""What stands for the struct of a custom resource."""


class _Place:
    """Where a walk stands; text is made of it only for what it reports."""

    __slots__ = ("depth", "key", "parent", "struct", "unknown")

    def __init__(self, parent: "_Place | None", key: str | int, struct: str) -> None:
        self.parent = parent
        self.key = key
        self.struct = struct  # the struct that the field `key` belongs to; empty for an element
        self.unknown: list[str] = parent.unknown if parent else []
        self.depth: int = parent.depth + 1 if parent else 0

    def steps(self) -> list["_Place"]:
        found: list[_Place] = []
        place: _Place | None = self
        while place is not None and place.parent is not None:
            found.append(place)
            place = place.parent
        return found[::-1]

    def path(self, name: str = "") -> str:
        """The exact path, of the field `name` below where one is given: `spec.containers[0].name`."""
        text = "".join(f".{one.key}" if one.struct else f"[{one.key}]" for one in self.steps())
        return (f"{text}.{name}" if name else text).removeprefix(".")

    def go(self) -> str:
        """The path as Go's decoder tells it: the struct's name, then the fields without indices."""
        fields = [one for one in self.steps() if one.struct]
        while fields and fields[0].struct == _UNNAMED:  # Go decodes a custom resource's metadata for itself
            del fields[0]
        return ".".join([fields[-1].struct, *(str(one.key) for one in fields)]) if fields else ""


def decode(type: Type, value: Any) -> tuple[Any, list[str]]:
    """`value` as Kubernetes would store it, and the paths of the fields that the type does not have.

    `value` stays as it is; the result is new where they differ and shares the rest with it.
    Errors: Mistyped, ValueError (a malformed quantity, time or base64), RecursionError.
    """
    if conforms(type)(value):
        return value, []
    place = _Place(None, "", "")
    return _decoded(type, value, place), place.unknown


def _decoded(type: Type, value: Any, place: _Place) -> Any:
    form = type.form
    # Most parts of a value that is not canonical are: they are kept. Only near the top, so that the work stays
    # in proportion to the size however deep the fault lies.
    if place.depth < SHORTCUT_DEPTH and conforms(type)(value):
        return value
    if type.custom and not _walked(form, value):
        return value
    if form in (forms.STRUCT, forms.MAP, forms.RAW):
        if value.__class__ is not dict:
            raise _mistyped(type, value, place)
        if form == forms.STRUCT:
            return _decoded_struct(type, value, place)
        dropped = type.custom and not type.items.raw.get("nullable") and type.items.raw.get("default") is None
        kept = {key: item for key, item in value.items() if item is not None} if dropped else value
        return {key: _element(type.items, item, _Place(place, key, "")) for key, item in kept.items()}
    if form == forms.LIST:
        if value.__class__ is not list:
            raise _mistyped(type, value, place)
        return [_element(type.items, item, _Place(place, at, "")) for at, item in enumerate(value)]
    return value if form in (forms.ANY, forms.DEDUCED) else _decoded_scalar(type, value, place)


def _walked(form: str, value: Any) -> bool:
    """Whether a value of a custom resource is looked into: what is of the wrong type stays for validation."""
    return value.__class__ is (list if form == forms.LIST else dict) and form in (
        forms.STRUCT,
        forms.MAP,
        forms.LIST,
    )


def _decoded_struct(type: Type, value: Obj, place: _Place) -> Obj:
    result: Obj = {}
    fields = type.fields
    for name, item in value.items():
        known = fields.get(name)
        if known is None:
            if type.open:
                result[name] = item
            elif len(place.unknown) < MAX_UNKNOWN:
                place.unknown.append(place.path(name))
            continue
        if item is None:
            if known.custom and known.raw.get("nullable"):
                result[name] = None
            continue
        decoded = _decoded(known, item, _Place(place, name, type.name or _UNNAMED))
        collection = known.form in (forms.LIST, forms.MAP)
        if collection and not decoded and not known.custom and name not in type.required:
            continue
        result[name] = decoded
    return result


def _element(type: Type, item: Any, place: _Place) -> Any:
    """An element of a map or list; null is the zero value there, but stays in a custom resource."""
    if item is None and type.custom:
        return None
    return _decoded(type, item, place) if item is not None else _ZEROS.get(type.form, dict)()


_ZEROS: dict[str, Callable[[], Any]] = {
    forms.STRING: str,
    forms.BYTES: str,
    forms.BOOL: bool,
    forms.INT32: int,
    forms.INT64: int,
    forms.NUMBER: int,
    forms.INT_OR_STRING: int,
    forms.QUANTITY: lambda: "0",
    forms.LIST: list,
    forms.TIME: lambda: None,
    forms.MICRO_TIME: lambda: None,
    forms.ANY: lambda: None,
    forms.DEDUCED: lambda: None,
}


def _decoded_scalar(type: Type, value: Any, place: _Place) -> Any:
    form = type.form
    if form == forms.QUANTITY:
        return canonical(value)
    if form in (forms.TIME, forms.MICRO_TIME):
        if value.__class__ is not str:
            raise _mistyped(type, value, place)
        return _time(value, form)
    if form == forms.BYTES and value.__class__ is str:
        fault = base64_fault(re.sub(r"[\r\n]", "", value))
        if fault is not None:
            raise ValueError(f"illegal base64 data at input byte {fault}")
        return value
    if not conforms(type)(value):
        raise _mistyped(type, value, place)
    return value


def query_time(value: str) -> str:
    """A time of a request's query in the form in which it is stored. Errors: ValueError in Go's words."""
    return _time(value, forms.TIME)


def _time(value: str, form: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    layout = "2006-01-02T15:04:05Z07:00" if form == forms.TIME else "2006-01-02T15:04:05.000000Z07:00"
    if moment is None or moment.tzinfo is None or "T" not in value:
        raise ValueError(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f'parsing time "{value}": year is out of range') from None
    return timestamp(moment) if form == forms.TIME else micro_timestamp(moment)


def _mistyped(type: Type, value: Any, place: _Place) -> Mistyped:
    what = _JSON_NAMES.get(value.__class__, "null")
    go = {forms.TIME: "string", forms.MICRO_TIME: "string"}.get(type.form, type.go)
    if what == "number" and type.form in (forms.INT32, forms.INT64):
        what = f"number {value}"
    if type.form == forms.INT_OR_STRING:  # it decodes itself, so Go has no field to name
        return Mistyped(f"json: cannot unmarshal {what} into Go value of type int32", place.path(), "integer")
    site = f"struct field {place.go()}" if place.go() else "value"
    text = f"json: cannot unmarshal {what} into Go {site} of type {go}"
    return Mistyped(text, place.path(), go, _unrestored(type, value))


def _unrestored(type: Type, value: Any) -> str:
    found = go_kind(value)
    if type.form in (forms.LIST, forms.BYTES):
        return f"cannot restore slice from {found}"
    if type.form in (forms.MAP, forms.RAW):
        return f"cannot restore map from {found}"
    if type.form == forms.STRUCT:
        return f"cannot restore struct from: {found}"
    if type.form in (forms.TIME, forms.MICRO_TIME):
        return ""
    is_like = found == "int64" or (found == "float64" and type.form != forms.STRING)
    return (
        f"cannot convert {found} to {type.go}"
        if is_like and type.form != forms.BOOL
        else (f"unrecognized type: {type.go}")
    )
