"""Printer columns of custom resources: JSONPaths whose first value is shown. Pure but for the time now."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from minikube_py.kinds.columns import NAME, since
from minikube_py.meta.jsonpath import Find, compile_path
from minikube_py.meta.kind import Column
from minikube_py.meta.objects import Obj

_CREATED = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not "
    "guaranteed to be set in happens-before order across separate operations. Clients may not set this value. "
    "It is represented in RFC3339 form and is in UTC."
)
AGE: Obj = {"name": "Age", "type": "date", "description": _CREATED, "jsonPath": ".metadata.creationTimestamp"}
"""The column of kinds that have none of their own."""


def columns_of(definitions: Sequence[Obj]) -> tuple[Column, ...]:
    """The columns of a version's additionalPrinterColumns; from one whose path does not parse on, none."""
    found = [NAME]
    for definition in definitions or (AGE,):
        try:
            found.append(_column(definition))
        except ValueError:
            break
    return tuple(found)


def _column(definition: Obj) -> Column:
    path, type = definition["jsonPath"], definition["type"]
    told = f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        definition["name"],
        _cell(compile_path(path), type),
        type,
        definition.get("format") or "",
        definition.get("priority") or 0,
        definition.get("description") or told,
    )


def _cell(find: Find, type: str) -> Callable[[Obj, datetime], Any]:
    def cell(obj: Obj, now: datetime) -> Any:
        found = find(obj)
        return shown(found[0], type, now) if found else None

    return cell


def shown(value: Any, type: str, now: datetime) -> Any:
    """A value as a column of that type shows it; None where it is of another type."""
    if type == "string":
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    if type == "date":
        return since(value, now) if isinstance(value, str) else None
    if type == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if type == "integer" else float(value)
