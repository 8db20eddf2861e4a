"""Tables and partial metadata."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from minikube_py.apiserver import list_bodies
from minikube_py.apiserver.table import render_metadata, render_table
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Listing
from minikube_py.store.base import Entry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def config_map(name: str, version: int = 7) -> Obj:
    created = {"creationTimestamp": "2026-01-01T11:55:00Z", "resourceVersion": str(version)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **created},
        "data": {"a": "1", "b": "2"},
    }


def entry(obj: Obj, *, decoded: bool = False) -> Entry:
    key = f"/registry/configmaps/default/{obj['metadata']['name']}"
    return Entry(key, orjson.dumps(obj), 7, 7, obj if decoded else None)


def rendered(*items: Any, kind: Kind = ConfigMap, **options: Any) -> Obj:
    table: Obj = orjson.loads(render_table(kind, items, now=NOW, **options))
    return table


def test_a_list_as_a_table() -> None:
    """A table names its columns, has a row per object, and the list's metadata."""
    items = [entry(config_map("a")), entry(config_map("b"), decoded=True)]
    table = rendered(*items, list_metadata={"resourceVersion": "12", "continue": "t", "remainingItemCount": 3})
    definitions = table.pop("columnDefinitions")
    assert [(d["name"], d["type"], d["format"], d["priority"]) for d in definitions] == [
        ("Name", "string", "name", 0),
        ("Data", "string", "", 0),
        ("Age", "string", "", 0),
    ]
    assert table == {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "12", "continue": "t", "remainingItemCount": 3},
        "rows": [
            {
                "cells": [name, 2, "5m"],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": config_map(name)["metadata"],
                },
            }
            for name in ("a", "b")
        ],
    }


@pytest.mark.parametrize(
    ("include", "expected"),
    [("None", None), ("Object", config_map("a"))],
)
def test_what_a_row_carries(include: str, expected: Obj | None) -> None:
    """A row carries the whole object, or nothing, as the client asks; from bytes or from an object."""
    for item in (entry(config_map("a")), config_map("a")):
        assert rendered(item, include=include)["rows"][0]["object"] == expected


def test_one_object() -> None:
    """The table of one object has its resourceVersion; an empty list has only its own."""
    assert rendered(config_map("a", 42))["metadata"] == {"resourceVersion": "42"}
    empty = rendered(list_metadata={"resourceVersion": "9"})
    assert (empty["metadata"], empty["rows"]) == ({"resourceVersion": "9"}, [])


def test_watch_events_after_the_first() -> None:
    """Later events of a watch leave out the column definitions."""
    table = rendered(config_map("a"), headers=False)
    assert (table["columnDefinitions"], len(table["rows"])) == ([], 1)


def test_a_kind_without_columns() -> None:
    """A kind without columns shows its name and when it was created; events show their name last."""
    plain = Kind("Widget", "example.com/v1", "widgets")
    table = rendered(config_map("a"), kind=plain)
    assert [d["name"] for d in table["columnDefinitions"]] == ["Name", "Created At"]
    assert table["rows"][0]["cells"] == ["a", "2026-01-01T11:55:00Z"]
    assert rendered(kind=Event)["columnDefinitions"][-1]["format"] == "name"


async def test_a_large_table_is_the_same() -> None:
    """A table that is made row by row is the one that is made at once."""
    items = [entry(config_map(f"c{n}")) for n in range(1200)]
    whole = render_table(ConfigMap, items, now=NOW, list_metadata={"resourceVersion": "12"})
    made = await list_bodies.rows(ConfigMap, Listing(items, 12), NOW, "Metadata")
    assert made.whole() == whole + b"\n"


async def test_partial_metadata() -> None:
    """Partial metadata is all of an object's metadata and nothing else."""
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    expected = partial | {"metadata": config_map("a")["metadata"]}
    assert orjson.loads(render_metadata(entry(config_map("a")))) == expected
    listed = orjson.loads((await list_bodies.partial(Listing([entry(config_map("a"))], 12))).whole())
    assert listed == {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "12"},
        "items": [expected],
    }
