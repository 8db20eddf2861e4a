"""The bytes of watch events: lines of JSON in HTTP chunks, each encoded once for all watchers of a form."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

from minikube_py.aio.clock import Clock
from minikube_py.apiserver import table
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import WatchEvent

UNSENT_BYTES = 256 * 1024
"""Bytes not yet taken by a connection from which it is given no more."""
SLICE = 200
"""Events that are encoded at a time."""
REMEMBERED = 256
"""Lines that are kept."""


class Shape(NamedTuple):
    """How a watcher is shown events: `form` is object, table or metadata, `include` what rows of tables carry;
    and whether it is sent bookmarks."""

    form: str
    include: str
    bookmarks: bool


class EventLines:
    """Encodes events; the lines of the last ones are kept for the other watchers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[int, str], tuple[WatchEvent, bytes]] = OrderedDict()
        self._last: tuple[Sequence[object], Sequence[WatchEvent], bytes] = ((), (), b"")

    def lines(self, kind: Kind, events: Sequence[WatchEvent], shape: Shape) -> bytes:
        """The lines of some events; those of the last batch are kept as a whole."""
        if len(events) == 1:
            return self.line(kind, events[0], shape)
        key = [kind.api_version, *shape[:2], *map(id, events)]
        if key != self._last[0]:  # holding the events keeps their ids from being used again
            made = b"".join([self.line(kind, event, shape) for event in events])
            self._last = key, events, made
        return self._last[2]

    def once(self, kind: Kind, events: Sequence[WatchEvent], shape: Shape) -> bytes:
        """The lines of events that no other watcher is about to be told."""
        return b"".join([self._encoded(kind, event, shape) for event in events])

    def line(self, kind: Kind, event: WatchEvent, shape: Shape) -> bytes:
        """The event's line as a chunk of the stream."""
        key = (id(event), f"{shape.form}/{shape.include}" if shape.form == "table" else shape.form)
        known = self._known.get(key)
        if known is not None:
            return known[1]
        line = self._encoded(kind, event, shape)
        if len(line) <= UNSENT_BYTES:
            self._known[key] = (event, line)  # holding the event keeps its id from being used again
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return line

    def _encoded(self, kind: Kind, event: WatchEvent, shape: Shape) -> bytes:
        if event.type == "BOOKMARK":
            return chunk(_bookmark(kind, event, shape))
        encoded = self._object(kind, event, shape)
        return chunk(b'{"type":"%s","object":%s}\n' % (event.type.encode(), encoded))

    def _object(self, kind: Kind, event: WatchEvent, shape: Shape) -> bytes:
        if shape.form == "table":
            return table.render_table(kind, [event.entry], now=self._clock.now(), include=shape.include)
        if shape.form == "metadata":
            return table.render_metadata(event.entry)
        return event.entry.data


def chunk(line: bytes) -> bytes:
    """A line as HTTP/1.1 sends it in a body of unknown length."""
    return b"%x\r\n%s\r\n" % (len(line), line)


def _bookmark(kind: Kind, event: WatchEvent, shape: Shape) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(event.entry.revision), "creationTimestamp": None}
    if event.initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    made: Obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    if shape.form == "metadata":
        made |= {"kind": "PartialObjectMetadata", "apiVersion": table.GROUP_VERSION}
    elif shape.form == "table":
        rows = [
            {
                "cells": [],
                "object": {**made, "kind": "PartialObjectMetadata", "apiVersion": table.GROUP_VERSION},
            }
        ]
        made = {
            "kind": "Table",
            "apiVersion": table.GROUP_VERSION,
            "metadata": {"resourceVersion": str(event.entry.revision)},
            "columnDefinitions": [],
            "rows": rows,
        }
    return b'{"type":"BOOKMARK","object":' + orjson.dumps(made) + b"}\n"


def slices(batch: Sequence[WatchEvent]) -> Iterator[Sequence[WatchEvent]]:
    """A batch in parts of at most SLICE events and little more than UNSENT_BYTES: a reader who takes no bytes
    is not handed more."""
    start = size = 0
    for end, event in enumerate(batch, 1):
        size += len(event.entry.data)
        if size > UNSENT_BYTES or end - start == SLICE or end == len(batch):
            yield batch[start:end]
            start, size = end, 0
