"""Staging: what is decided but not yet durable, laid over the durable state.

Expected revisions are checked and revisions assigned here, synchronously, in the order of the calls. Nobody
but writers looks through it: a change becomes visible by `State.apply`, or is dropped with all that was
staged upon it.
"""

from asyncio import Future
from collections.abc import Sequence

from minikube_py.store.base import Delete, Encode, Entry, Event, Op, Put, RevisionMismatch, Value
from minikube_py.store.state import State

MAX_OPS = 1 << 16


class Change:
    """One commit: its events (none where it changes nothing), the entry of each op, and who waits for it."""

    __slots__ = ("done", "events", "results")

    def __init__(self, events: Sequence[Event], results: Sequence[Entry | None]) -> None:
        self.events = events
        self.results = results
        self.done: Future[Sequence[Entry | None]] | None = None


class Staging:
    """Changes upon a State that are not part of it yet."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pending: dict[str, Event] = {}
        self._revision = state.revision

    def stage(self, ops: Sequence[Op]) -> Change | None:
        """The change that `ops` make, at the next revision; None where only a change that is not durable yet
        stands against it, so that the answer must wait. Errors: RevisionMismatch, ValueError."""
        if len(ops) > 1:
            _check(ops)
        currents = []
        for op in ops:
            current = self._current(op.key)
            if op.expected is not None and op.expected != (current.revision if current else 0):
                self._refuse(op)
                return None
            currents.append(current)
        revision = self._revision + 1
        events: list[Event] = []
        results: list[Entry | None] = []
        for op, current in zip(ops, currents, strict=True):
            event = _event(op, current, revision)
            results.append(event.entry if event else None)
            if event:
                events.append(event)
        if events:
            self._revision = revision
            for event in events:
                self._pending[event.entry.key] = event
        return Change(events, results)

    def _current(self, key: str) -> Entry | None:
        event = self._pending.get(key)
        if event is None:
            return self._state.get(key)
        return None if event.deleted else event.entry

    def _refuse(self, op: Op) -> None:
        """Refuse by what is durable: a writer that re-reads must see what it was refused for."""
        durable = self._state.get(op.key)
        actual = durable.revision if durable else 0
        if op.expected != actual:
            raise RevisionMismatch(op.key, op.expected or 0, actual)

    def settle(self, change: Change) -> None:
        """`change` is durable now: it leaves the overlay for the state."""
        pending = self._pending
        for event in change.events:
            if pending.get(event.entry.key) is event:
                del pending[event.entry.key]
        if change.events:
            self._state.apply(change.events)

    def drop(self) -> None:
        """Forget everything that is staged; its revisions are assigned again."""
        self._pending.clear()
        self._revision = self._state.revision


def _check(ops: Sequence[Op]) -> None:
    if len({op.key for op in ops}) < len(ops):
        raise ValueError("a key stands in more than one operation of a commit")
    if len(ops) > MAX_OPS:
        raise ValueError(f"a commit has {len(ops)} operations; at most {MAX_OPS} are allowed")


def _event(op: Op, current: Entry | None, revision: int) -> Event | None:
    if isinstance(op, Put):
        if not op.key.isascii():
            op.key.encode()  # what cannot be stored fails its writer, not the batch it would be part of
        value, decoded = op.value, None
        if not isinstance(value, bytes):
            value, decoded = _value(value, revision)
        created = current.create_revision if current else revision
        return Event(Entry(op.key, value, revision, created, decoded), current)
    if current is None:
        return None
    return Event(_last(op, current, revision), current, deleted=True)


def _last(op: Delete, current: Entry, revision: int) -> Entry:
    data, decoded = (current.data, current.decoded) if op.value is None else _value(op.value, revision)
    return Entry(op.key, data, revision, current.create_revision, decoded)


def _value(value: bytes | Encode, revision: int) -> Value:
    made = Value(value) if isinstance(value, bytes) else value(revision)
    if not isinstance(made.data, bytes):
        raise TypeError(f"a value is bytes, not {type(made.data).__name__}")
    return made
