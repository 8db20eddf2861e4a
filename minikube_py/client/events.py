"""EventRecorder: core/v1 Events about objects, as `kubectl describe` shows them.

Guarantees: `record` never waits and never fails; equal events are counted on one Event object (count,
lastTimestamp); more than ten events that differ only in their message within ten minutes are combined into
one; each object may cause 25 events and then one per five minutes (after client-go's correlator). Events
are written by a task that lives only while something is to be written: those about one object one after
another in their order, those about several at the same time, so that they share the store's commits. Limits:
what cannot be stored is logged and dropped, as are the newest where more than `CAPACITY` wait.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from types import TracebackType
from typing import Any, Self
from zlib import crc32

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Client
from minikube_py.errors import AlreadyExists, ApiError, NotFound
from minikube_py.kinds.core.event import Event
from minikube_py.meta.objects import Key, Obj, name_of, namespace_of, revision_of, timestamp, uid_of

log = logging.getLogger(__name__)

CAPACITY = 1000
AT_ONCE = 100  # events of one round of writing
TURNS_BEFORE = 8
"""Turns of the loop that a round leaves to others first, who write what an event is about: that is in haste."""
LONGEST = 16 * 1024  # characters of a message: a probe tells up to 10 KB of what its command said
KNOWN = 4096  # correlation state is kept for as many events and objects, the least recently used go first
SIMILAR = 10  # as many messages of one reason stand alone, the next ones are combined
SIMILAR_WINDOW = timedelta(minutes=10)
BURST, REFILL_SECONDS = 25.0, 300.0

Aspect = tuple[str, ...]


@dataclass(slots=True)
class _Series:
    """One Event object: what it says of which object, and how often it was said. `stored` is the count last
    written."""

    about: str
    body: Obj
    count: int = 0
    stored: int = 0
    last: str = ""
    queued: bool = False


@dataclass(slots=True)
class _Similar:
    """The messages seen for one object and reason."""

    until: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Bucket:
    """The tokens left to one object."""

    tokens: float
    at: float


def reference(about: Obj, field_path: str = "") -> Obj:
    """The ObjectReference to `about` (which carries apiVersion and kind)."""
    ref = {
        "kind": about.get("kind", ""),
        "namespace": namespace_of(about),
        "name": name_of(about),
        "uid": uid_of(about),
        "apiVersion": about.get("apiVersion", ""),
        "resourceVersion": str(revision_of(about) or ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in ref.items() if value}


class EventRecorder:
    """Records events of one component; use as an async context manager. `pause` tells the seconds
    between two rounds of writing, 0 by default: what is told meanwhile is written together."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        component: str,
        *,
        host: str = "",
        pause: Callable[[], float] = float,
    ) -> None:
        self._client, self._clock = client, clock
        self._component, self._host, self._pause = component, host, pause
        self._series: OrderedDict[Aspect, _Series] = OrderedDict()
        self._similar: OrderedDict[Aspect, _Similar] = OrderedDict()
        self._buckets: OrderedDict[Aspect, _Bucket] = OrderedDict()
        self._waiting: deque[_Series] = deque()
        self._order = count()
        self._tasks = Tasks(f"events/{component}")
        self._writer: asyncio.Task[None] | None = None
        self.dropped = 0

    def record(self, about: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Tell that `reason` happened to `about`. type is Normal or Warning; `field_path` names the part,
        such as `spec.containers{web}`."""
        object_aspect = (uid_of(about) or name_of(about), field_path, about.get("kind", ""))
        if not self._allowed(object_aspect) or len(self._waiting) >= CAPACITY:
            self.dropped += 1
            return
        reason_aspect = (*object_aspect, type, reason)
        if self._is_flood(reason_aspect, message):
            aspect, message = (*reason_aspect, "\0combined"), f"(combined from similar events): {message}"
        else:
            aspect = (*reason_aspect, message)
        series = self._series.get(aspect)
        if series is None:
            body = self._body(about, type, reason, field_path)
            series = self._series[aspect] = _Series(object_aspect[0], body)
            _trim(self._series)
        self._series.move_to_end(aspect)
        series.body["message"] = message[:LONGEST]
        series.count += 1
        series.last = timestamp(self._clock.now())
        if not series.queued:
            series.queued = True
            self._waiting.append(series)
        if self._writer is None or self._writer.done():
            self._writer = self._tasks.spawn(self._write_all(), "writer")

    async def flush(self) -> None:
        """Wait until what was recorded is stored."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait((self._writer,))

    def _allowed(self, aspect: Aspect) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault(aspect, _Bucket(BURST, now))
        self._buckets.move_to_end(aspect)
        _trim(self._buckets)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _is_flood(self, aspect: Aspect, message: str) -> bool:
        now = self._clock.monotonic()
        similar = self._similar.get(aspect)
        if similar is None or similar.until < now:
            similar = self._similar[aspect] = _Similar(now + SIMILAR_WINDOW.total_seconds())
            _trim(self._similar)
        self._similar.move_to_end(aspect)
        if message in similar.messages:
            return False
        if len(similar.messages) >= SIMILAR:
            return True
        similar.messages.add(message)
        return False

    def _body(self, about: Obj, type: str, reason: str, field_path: str) -> Obj:
        now = self._clock.now()
        serial = (int(now.timestamp() * 1e6) * 1000 + next(self._order)) & 0xFFFFFFFFFFFFFFFF
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{name_of(about)}.{serial:x}",
                "namespace": namespace_of(about) or "default",
            },
            "involvedObject": reference(about, field_path),
            "type": type,
            "reason": reason,
            "source": source,
            "firstTimestamp": timestamp(now),
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    async def _write_all(self) -> None:
        while self._waiting:
            for _ in range(TURNS_BEFORE):
                await asyncio.sleep(0)
            about: dict[str, list[_Series]] = {}
            for _ in range(min(AT_ONCE, len(self._waiting))):
                series = self._waiting.popleft()
                about.setdefault(series.about, []).append(series)
            await asyncio.gather(*map(self._write_each, about.values()))
            if (pause := self._pause()) > 0:
                await self._clock.sleep(pause)

    async def _write_each(self, told: Sequence[_Series]) -> None:
        for series in told:
            series.queued = False
            try:
                await self._write(series)
            except ApiError as error:
                self.dropped += 1
                log.debug("%s: event %s was not stored: %s", self._component, series.body["reason"], error)

    async def _write(self, series: _Series) -> None:
        said = series.count
        change: Obj = {"count": said, "lastTimestamp": series.last, "message": series.body["message"]}
        meta = series.body["metadata"]
        if series.stored:
            try:
                await self._client.patch(Event, Key(meta["namespace"], meta["name"]), change)
                series.stored = said
                return
            except NotFound:  # it expired: the series goes on in a new object
                fresh = f"{meta['name'].rpartition('.')[0]}.{next(self._order):x}{said:x}"
                series.body["metadata"] = {**meta, "name": fresh}
                series.count = change["count"] = said = 1
                series.body["firstTimestamp"] = series.last
        try:
            await self._client.create(Event, {**series.body, **change, "metadata": {**series.body["metadata"]}})
        except AlreadyExists:  # another component told of the object in the same moment
            name = f"{series.body['metadata']['name']}{crc32(self._component.encode()):08x}"
            series.body["metadata"] = {**meta, "name": name}
            await self._client.create(Event, {**series.body, **change, "metadata": {**series.body["metadata"]}})
        series.stored = said

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.cancel()


def _trim(known: OrderedDict[Aspect, Any]) -> None:
    while len(known) > KNOWN:
        known.popitem(last=False)
