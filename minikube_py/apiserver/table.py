"""Tables and partial metadata: what clients get that ask `as=Table` or `as=PartialObjectMetadata(List)`.

    render_table(kind, items, now=now)                                       # one object, or a watch event's
    render_table(kind, items, now=now, list_metadata={"resourceVersion": "12"}, include="Object")
    render_table(kind, items, now=now, headers=False)                        # later events of a watch
    await render_large_table(...)                                            # the same, in steps
    render_metadata(item)                                                    # PartialObjectMetadata
    render_metadata_list(items, list_metadata)                               # PartialObjectMetadataList

`items` are store entries (bytes in `data`, the object in `decoded`, decoded here where that is None) or plain
objects. Nothing but ages depends on `now`. Rows cost 10 to 30 microseconds each.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import orjson

from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj

GROUP_VERSION = "meta.k8s.io/v1"
_ROWS_PER_STEP = 500
_NAME = Column("Name", "metadata.name", format="name", description="Name of the object")
_CREATED = Column("Created At", "metadata.creationTimestamp", "date", description="When it was created")


class Stored(Protocol):
    """A store entry: an object's bytes, and the object where it is already decoded."""

    data: bytes
    decoded: Any


Item = Stored | Obj


def render_table(
    kind: Kind,
    items: Sequence[Item],
    *,
    now: datetime,
    include: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
    headers: bool = True,
) -> bytes:
    """A meta.k8s.io/v1 Table of `items`; `include` (None, Metadata, Object) says what each row carries.
    Without `list_metadata` the table of one object has that object's resourceVersion."""
    columns = _columns(kind)
    rows = [_row(columns, item, now, include) for item in items]
    return _table(columns if headers else (), rows, _metadata(items, list_metadata))


async def render_large_table(
    kind: Kind,
    items: Sequence[Item],
    *,
    now: datetime,
    include: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """As `render_table`, letting other tasks run between steps of some hundred rows."""
    columns, rows = _columns(kind), []
    for start in range(0, len(items), _ROWS_PER_STEP):
        if start:
            await asyncio.sleep(0)
        rows += [_row(columns, item, now, include) for item in items[start : start + _ROWS_PER_STEP]]
    return _table(columns, rows, _metadata(items, list_metadata))


def render_metadata(item: Item) -> bytes:
    """The PartialObjectMetadata of one object."""
    return orjson.dumps(_partial(_object(item)))


def render_metadata_list(items: Sequence[Item], list_metadata: Mapping[str, Any]) -> bytes:
    """The PartialObjectMetadataList of `items`."""
    return orjson.dumps(
        {
            "kind": "PartialObjectMetadataList",
            "apiVersion": GROUP_VERSION,
            "metadata": list_metadata,
            "items": [_partial(_object(item)) for item in items],
        }
    )


def _columns(kind: Kind) -> tuple[Column, ...]:
    return kind.columns or (_NAME, _CREATED)


def _object(item: Item) -> Obj:
    if isinstance(item, dict):
        return item
    found: Obj = item.decoded if item.decoded is not None else orjson.loads(item.data)
    return found


def _partial(obj: Obj) -> Obj:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": GROUP_VERSION,
        "metadata": obj.get("metadata") or {},
    }


def _row(columns: Sequence[Column], item: Item, now: datetime, include: str) -> bytes:
    """One row, encoded at once: the object's bytes are used as they are."""
    obj = _object(item)
    row: Obj = {"cells": [column.value(obj, now) for column in columns], "object": None}
    if include == "Object":
        row["object"] = obj if isinstance(item, dict) else orjson.Fragment(item.data)
    elif include == "Metadata":
        row["object"] = _partial(obj)
    return orjson.dumps(row)


def _metadata(items: Sequence[Item], list_metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if list_metadata is not None:
        return list_metadata
    version = (_object(items[0]).get("metadata") or {}).get("resourceVersion") if len(items) == 1 else None
    return {"resourceVersion": version} if version else {}


def _table(columns: Sequence[Column], rows: Sequence[bytes], metadata: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "kind": "Table",
            "apiVersion": GROUP_VERSION,
            "metadata": metadata,
            "columnDefinitions": [_definition(column) for column in columns],
            "rows": [orjson.Fragment(row) for row in rows],
        }
    )


def _definition(column: Column) -> Obj:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }
