"""Feeds: what happens to one selection of objects, read, encoded and framed once for all who watch it.

A watcher of a feed costs nothing but the write to its connection, which is made there and then; events that are
at hand together are one write. The event loop turns within a long round of writes, and a feed that finds more
to tell after a long round rests first as long as it took, and more: what comes meanwhile is one write, too. A
watcher whose connection does not take its bytes leaves the feed and reads on by itself, until it is as far as
the others. A feed that falls behind the store goes on from the store's history.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Final

from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.watch_lines import UNSENT_BYTES, EventLines, Shape, slices
from minikube_py.errors import ApiError
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import WatchEvent
from minikube_py.registry.watches import ObjectWatch

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 0.005
"""Writing holds up the loop for no longer than this."""
LOOK: Final = 16
"""Writes between two looks at the time."""
REST: Final = 2.0
"""How long a feed rests after a round, in times of what it took."""
LONGEST_REST: Final = 0.02
SHORTEST_REST: Final = 0.001
"""After shorter rounds it does not."""
GONE: Final = sys.maxsize
"""Up to this revision one was told everything who is to be told no more."""


class Watcher:
    """One who watches: its connection, and what is shown to it. Thousands wait at a time: it is kept small."""

    __slots__ = ("after", "closed", "error", "feed", "missed", "rest", "shape", "transport", "woken")

    def __init__(self, transport: asyncio.WriteTransport, shape: Shape, rest: ObjectWatch) -> None:
        self.transport = transport
        self.shape = shape
        self.missed: Sequence[Sequence[WatchEvent]] = ()
        """What to tell it first, where it is of no feed, and ..."""
        self.rest: ObjectWatch | None = rest
        """... where to read on after that."""
        self.feed: Feed | None = None
        self.after = GONE
        """Up to this revision the feed has nothing to tell it."""
        self.woken: asyncio.Future[None] | None = None
        """Done once it is of no feed any more."""
        self.closed = False
        """Whether its watch is over, and ..."""
        self.error: ApiError | None = None
        """... the error to tell, where that is why."""

    def part(self) -> None:
        """It is of no feed any more."""
        self.feed, self.after = None, GONE
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    def finish(self) -> None:
        """Its watch is over once it was told what happened until now."""
        if self.feed is not None:
            self.feed.finish()
        elif self.rest is not None:
            self.rest.close()

    def close(self, error: ApiError | None = None) -> None:
        """Its watch is over."""
        self.closed, self.error = True, error
        if self.feed is not None:
            self.feed.leave(self)
        if self.rest is not None:
            self.rest.close()


class Feed:
    """One selection's events, and who watches it; `counted` grows by the events that were told."""

    def __init__(self, source: ObjectWatch, lines: EventLines, counted: list[float]) -> None:
        self.kind: Kind = source.kind
        self.closed = False
        self._source = source
        self._lines = lines
        self._counted = counted
        self._watchers: dict[Shape, dict[Watcher, None]] = {}

    def join(self, watcher: Watcher, after: int) -> None:
        """Tell `watcher` what happens after revision `after`, up to which it was told all."""
        watcher.feed, watcher.after = self, after
        self._watchers.setdefault(watcher.shape, {})[watcher] = None

    def leave(self, watcher: Watcher) -> None:
        """Tell it nothing more; with the last one the feed is over."""
        watchers = self._watchers[watcher.shape]
        del watchers[watcher]
        if not watchers:
            del self._watchers[watcher.shape]
        watcher.part()
        if not self._watchers:
            self.finish()

    def finish(self) -> None:
        """The watches of all are over once they were told what happened until now."""
        self.closed = True
        self._source.close()

    async def run(self) -> None:
        """Tell the watchers until the last one leaves."""
        error: ApiError | None = None
        try:
            await self._follow()
            while not self.closed:  # it fell behind
                self._source = self._source.again(self._source.seen)
                await self._follow()
        except ApiError as failure:
            error = failure
        finally:
            self.finish()
            for watcher in [watcher for watchers in self._watchers.values() for watcher in watchers]:
                watcher.close(error)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        async for batch in self._source:
            began = loop.time()
            for shape, watchers in tuple(self._watchers.items()):
                events = batch if shape.bookmarks else [event for event in batch if event.type != "BOOKMARK"]
                if events:
                    await self._tell(shape, tuple(watchers), events)
            taken = loop.time() - began
            if taken > SHORTEST_REST and self._source.ready:
                await asyncio.sleep(min(taken * REST, LONGEST_REST))

    async def _tell(self, shape: Shape, watchers: Sequence[Watcher], events: Sequence[WatchEvent]) -> None:
        """Tell the watchers of a shape events, each those that it was not told."""
        first = events[0].entry.revision
        for watcher in watchers:
            if GONE > watcher.after >= first and (missed := _later(events, watcher.after)):
                self._release(watcher, [missed])
        parts = [*slices(events)] if len(events) > 1 else [events]
        for at in range(len(parts)):
            if at:
                await asyncio.sleep(0)
            lines = self._lines.lines(self.kind, parts[at], shape)
            told = await self._write(watchers, first, lines, parts[at:])
            self._counted[0] += told * len(parts[at])

    async def _write(
        self,
        watchers: Sequence[Watcher],
        first: int,
        lines: bytes,
        parts: Sequence[Sequence[WatchEvent]],
    ) -> int:
        """Write the lines of the first of `parts`, all of them from revision `first` on; to how many."""
        loop = asyncio.get_running_loop()
        told, until = 0, loop.time() + TURN_SECONDS
        for number, watcher in enumerate(watchers, 1):
            if watcher.after < first:  # else it has left, or came later
                transport = watcher.transport
                if transport.get_write_buffer_size() > UNSENT_BYTES:
                    self._release(watcher, parts)
                elif not transport.is_closing():
                    transport.write(lines)
                    told += 1
            if number % LOOK == 0 and loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + TURN_SECONDS
        return told

    def _release(self, watcher: Watcher, missed: Sequence[Sequence[WatchEvent]]) -> None:
        """Have a watcher read on by itself: it is slow, or to be told a part only of what the others are."""
        try:
            watcher.missed, watcher.rest = missed, self._source.again(self._source.seen)
        except ApiError as error:
            watcher.close(error)
        else:
            self.leave(watcher)


def _later(events: Sequence[WatchEvent], after: int) -> Sequence[WatchEvent]:
    """The events that one is to be told who was told all up to revision `after`."""
    return [
        e for e in events if e.entry.revision > after or (e.entry.revision == after and e.type == "BOOKMARK")
    ]


class Feeds:
    """The feeds there are, one for all watches that are alike."""

    def __init__(self, lines: EventLines) -> None:
        self._lines = lines
        self._tasks = Tasks("watches")
        self._feeds: dict[tuple[int, str, str, str], Feed] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def join(self, watch: ObjectWatch, watcher: Watcher, counted: list[float], revision: int) -> None:
        """Have `watcher` told what `watch` would see next, which has seen all up to `revision`, the store's."""
        feed = self._feeds.get(watch.identity)
        if feed is None or feed.closed:
            feed = self._feeds[watch.identity] = Feed(watch.again(revision), self._lines, counted)
            self._tasks.spawn(self._run(feed, watch.identity), watch.kind.plural)
        feed.join(watcher, max(watch.after, revision))

    async def _run(self, feed: Feed, identity: tuple[int, str, str, str]) -> None:
        try:
            await feed.run()
        finally:
            if self._feeds.get(identity) is feed:
                del self._feeds[identity]

    async def close(self) -> None:
        """End all feeds."""
        await self._tasks.cancel()
