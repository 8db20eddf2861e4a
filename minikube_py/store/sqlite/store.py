"""SqliteStore: group commit, loading and compaction around a Database and a State.

A commit is decided in memory against the staged overlay, queued, and acknowledged once the flusher's
transaction that holds it is on disk; then the state changes and readers are told. Whatever waits goes into
one transaction. Where that fails, all its commits and all that were staged upon them fail, and the next
commit starts from the durable state.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Self

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.store.base import Entry, Event, FutureRevision, Op, StoreUnavailable
from minikube_py.store.sqlite.database import PLACE_BITS, Database, Durability, Row, checksum
from minikube_py.store.sqlite.load import load
from minikube_py.store.staging import Change, Staging
from minikube_py.store.state import Retention, State, StateReads

log = logging.getLogger(__name__)

BATCH_COMMITS = 500
BATCH_BYTES = 16 << 20
WHOLE = 64
"""From a queue longer than this an idle flusher takes half, so that deciding the other half and writing this
one go on at the same time; a shorter one goes in one transaction, since the disk's sync then costs most."""
HAND_OVER = 50e-6
"""Seconds for which the loop leaves Python's lock to the writing thread, before it is busy with the batch
before; without them that thread enters SQLite only once the loop has nothing to do."""
DELETE_ROWS = 500
COMPACTIONS = 10
"""How often the age of history is looked at within its time to live."""


class SqliteStore(StateReads):
    """A durable `Store` in one file; `open` makes one, `close` ends it."""

    def __init__(self, database: Database, state: State, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._state = state
        self._clock = clock
        self._staging = Staging(state)
        self._queue: list[Change] = []
        self._writing = 0  # rows of the batch that is with the database
        self._wake = asyncio.Event()
        self._excess = asyncio.Event()
        self._compacting = asyncio.Lock()
        self._places: dict[tuple[int, str], int] = {}  # of rows that are not the first of their commit
        self._closed = False
        self._tasks = Tasks("store")
        self._flusher = self._tasks.spawn(self._flush(), "flush")

    @classmethod
    async def open(
        cls,
        path: Path,
        clock: Clock | None = None,
        *,
        durability: Durability = Durability.FULL,
        retention: Retention | None = None,
    ) -> Self:
        """The store in `path`, made where it is missing. Errors: StoreDamaged, StoreLocked,
        StoreUnavailable."""
        database = await Database.open(path, durability)
        try:
            state = State(retention or Retention())
            places, garbage = await load(database, state)
            store = cls(database, state, clock or SystemClock())
        except BaseException:
            await database.close()
            raise
        store._places = places
        store._tasks.spawn(store._compact_old(), "compact-by-age")
        store._tasks.spawn(store._compact_large(garbage), "compact-by-size")
        return store

    async def commit(self, ops: Iterable[Op]) -> Sequence[Entry | None]:
        """See `Store.commit`."""
        ops = tuple(ops)
        while (change := self._stage(ops)) is None:
            await self._enqueue(Change((), ()))
        return await self._enqueue(change)

    def _stage(self, ops: Sequence[Op]) -> Change | None:
        if self._closed:
            raise StoreUnavailable(f"{self._database.path} is closed")
        return self._staging.stage(ops)

    def _enqueue(self, change: Change) -> asyncio.Future[Sequence[Entry | None]]:
        change.done = done = self._loop.create_future()
        self._queue.append(change)
        if len(self._queue) == 1:
            self._wake.set()
        return done

    async def _flush(self) -> None:
        idle = True
        while self._queue or not self._closed:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                idle = True
                continue
            batch, rows = self._take(len(self._queue) // 2 if idle else BATCH_COMMITS)
            idle, self._writing = False, len(rows)
            try:
                if rows:
                    await self._database.append(rows)
            except Exception as error:
                self._fail(batch, error)
            else:
                # one turn later: the next batch, if one waits, is then already being written
                self._loop.call_soon(self._settle, batch)
            self._writing = 0

    def _take(self, limit: int) -> tuple[Sequence[Change], Sequence[Row]]:
        """All commits that wait, within the batch's limits, and their rows."""
        rows: list[Row] = []
        size = taken = 0
        for change in self._queue[: max(limit, WHOLE)]:
            for place, (entry, _, deleted) in enumerate(change.events):
                row_id, key, data = entry.revision << PLACE_BITS | place, entry.key, entry.data
                created = 0 if deleted else entry.create_revision
                rows.append((row_id, key, created, checksum(row_id, key, created, data), data))
                size += len(data)
            taken += 1
            if size > BATCH_BYTES:
                break
        batch = self._queue[:taken]
        del self._queue[:taken]
        return batch, rows

    def _settle(self, batch: Sequence[Change]) -> None:
        if self._writing > WHOLE:
            time.sleep(HAND_OVER)
        for change in batch:
            self._staging.settle(change)
            if len(change.events) > 1:
                for place, event in enumerate(change.events):
                    if place:
                        self._places[event.entry.revision, event.entry.key] = place
            if change.done and not change.done.done():
                change.done.set_result(change.results)
        if self._state.oversized:
            self._excess.set()

    def _fail(self, batch: Sequence[Change], error: Exception) -> None:
        """Fail `batch` and all that was staged upon it, which is everything that waits."""
        log.error("%s", error)
        failed = [*batch, *self._queue]
        self._queue.clear()
        self._staging.drop()
        for change in failed:
            if change.done and not change.done.done():
                unavailable = StoreUnavailable(str(error))
                unavailable.__cause__ = error
                change.done.set_exception(unavailable)

    async def compact(self, revision: int) -> None:
        """See `Store.compact`. Errors: FutureRevision, StoreUnavailable."""
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not reached yet; the last one is {self.revision}")
        async with self._compacting:
            if revision <= self.compacted:
                return
            await self._database.compact(revision)
            while self.compacted < revision:
                dropped = self._state.forget(revision, DELETE_ROWS)
                await self._database.delete(self._superseded(dropped))

    def _superseded(self, dropped: Sequence[Event]) -> Sequence[int]:
        """The ids of the rows that nobody can ask for any more once `dropped` is not history."""
        entries = [event.previous for event in dropped if event.previous is not None]
        entries += [event.entry for event in dropped if event.deleted]
        return [self._row_id(entry) for entry in entries]

    def _row_id(self, entry: Entry) -> int:
        return entry.revision << PLACE_BITS | self._places.pop((entry.revision, entry.key), 0)

    async def _compact_old(self) -> None:
        while True:
            await self._compact_to(self._state.expired(self._clock.monotonic()))
            await self._clock.sleep(self._state.retention.seconds / COMPACTIONS)

    async def _compact_large(self, garbage: Sequence[int]) -> None:
        """Delete what a crash left undeleted, then keep history within its size."""
        for start in range(0, len(garbage), DELETE_ROWS):
            await self._try(self._database.delete(garbage[start : start + DELETE_ROWS]))
        while True:
            await self._excess.wait()
            self._excess.clear()
            await self._compact_to(self._state.excess())

    async def _compact_to(self, revision: int) -> None:
        if revision > self.compacted:
            await self._try(self.compact(revision))

    async def _try(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreUnavailable as error:
            log.warning("compaction is put off: %s", error)

    async def close(self) -> None:
        """Acknowledge what is queued, end every watch and unlock the file."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        await asyncio.gather(self._flusher, return_exceptions=True)
        await self._tasks.cancel()
        self._state.close()
        await self._database.close()
