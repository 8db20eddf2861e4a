"""The store's contract: keys to bytes under one global revision, durable, and watchable from any revision.

Keys are `/registry/<resource>[.<group>]/[<namespace>/]<name>`. Guarantees, which one contract suite proves
for every implementation:

- A commit is atomic over all its operations and gets one revision; revisions rise by one per commit.
- An acknowledged commit survives kill -9 and power loss. Nothing that is not yet durable is ever read,
  listed or watched.
- `get` and `list` answer from memory, without waiting.
- A watch is ordered, gap-free and free of duplicates from any revision that is not compacted.
- A writer never waits for a reader; a watch that lags is closed with `Lagging`.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from minikube_py.aio.broadcast import Lagging as Lagging  # what a watch raises that fell behind


class Compacted(Exception):
    """The asked revision is older than the history that is kept (the API's HTTP 410)."""

    def __init__(self, asked: int, compacted: int) -> None:
        super().__init__(f"revision {asked} is compacted; the history begins after {compacted}")
        self.asked = asked
        self.compacted = compacted


class FutureRevision(Exception):
    """The asked revision has not been reached yet."""


class RevisionMismatch(Exception):
    """An operation expected another revision of its key; nothing of the commit was stored."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(f"{key} is at revision {actual}, not {expected}")
        self.key = key
        self.expected = expected
        self.actual = actual  # 0: the key does not exist


class StoreDamaged(Exception):
    """The database cannot be trusted; the message names the file and the way out."""


class StoreLocked(Exception):
    """Another process (or another store of this one) has the database open."""


class StoreUnavailable(Exception):
    """The write could not be made durable (disk full, I/O error, store closed); nothing of it was stored.
    Reads go on, and writes come back once the cause is gone."""


class Value(NamedTuple):
    """Encoded bytes, with the object they encode where the writer has it at hand (so nobody decodes it)."""

    data: bytes
    decoded: Any = None


Encode = Callable[[int], Value]
"""Makes the value once the commit's revision is known: an API object carries its own resourceVersion."""


@dataclass(slots=True)
class Entry:
    """A key's value; `revision` is that of its last change. Immutable but for the decode-once cache."""

    key: str
    data: bytes
    revision: int
    create_revision: int
    decoded: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key. `expected`: its current revision, 0 for absent, None for any."""

    key: str
    value: bytes | Encode
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key. `value` is the last state that watchers are shown (default: the one stored)."""

    key: str
    expected: int | None = None
    value: bytes | Encode | None = None


Op = Put | Delete


class Event(NamedTuple):
    """A change. `entry` is the new state (of a deletion: the last state, at the deletion's revision);
    `previous` the state before, or None where the key was created."""

    entry: Entry
    previous: Entry | None
    deleted: bool = False

    @property
    def revision(self) -> int:
        return self.entry.revision


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order of their keys at one revision; `remaining` more follow the last one."""

    entries: Sequence[Entry]
    revision: int
    remaining: int = 0


class Watch(Protocol):
    """Events of keys under a prefix, in order, in batches."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    async def __anext__(self) -> Sequence[Event]:
        """The next events, at least one. Raises Lagging where the reader fell behind."""

    @property
    def ready(self) -> bool:
        """Whether the next events, or the end, need not be waited for."""

    def close(self) -> None:
        """End the watch; a waiting reader's iteration stops."""


class Store(Protocol):
    """A watchable key-value store; see the module for what is guaranteed."""

    @property
    def revision(self) -> int:
        """The last durable revision."""

    @property
    def compacted(self) -> int:
        """History up to and including this revision is gone."""

    def get(self, key: str) -> Entry | None:
        """The current entry, or None."""

    def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Entries under `prefix` with keys greater than `after`, at most `limit` (0: all), as they stood at
        `revision` (0: now). Errors: Compacted, FutureRevision."""

    async def commit(self, ops: Iterable[Op]) -> Sequence[Entry | None]:
        """Apply `ops` as one atomic, durable change; the entry of each (None for a delete of an absent key).
        A key may stand in one op only. A commit that changes nothing takes no revision.
        A cancelled caller does not cancel a commit that was already queued.
        Errors: RevisionMismatch, StoreUnavailable."""

    def watch(self, prefix: str, *, after: int | None = None, capacity: int = 1000) -> Watch:
        """Events under `prefix` with a revision greater than `after` (None: from now on).
        Errors: Compacted, FutureRevision."""

    def subscribe(self, prefix: str, on_event: Callable[[Event], None]) -> Callable[[], None]:
        """Call `on_event` on the loop for each change under `prefix`, in order, before the commit that made
        it returns. It must not block or raise. The result unsubscribes."""

    async def compact(self, revision: int) -> None:
        """Forget history up to and including `revision`; current values stay."""
