"""Bucket: the entries of one resource, in the order of their keys, with the history that leads to them.

`bucket_of` maps a key to its bucket, so that a list or a watch costs what its own resource costs.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from minikube_py.store.base import Entry, Event, Page

_ROOT = len("/registry/")


def bucket_of(key: str) -> str:
    """The bucket of a key or prefix, `/registry/<resource>/`; empty where it names no whole resource."""
    return key[: key.find("/", _ROOT) + 1]


def revision_of(event: Event) -> int:
    """The revision of an event, as a key to bisect by."""
    return event.entry.revision


class Bucket:
    """Entries by key; `history` holds the events after the compacted revision, oldest first."""

    __slots__ = ("_keys", "entries", "history")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.history: list[Event] = []
        self._keys: list[str] | None = []  # sorted; None until somebody needs the order

    @classmethod
    def merged(cls, buckets: Iterable["Bucket"]) -> "Bucket":
        """One bucket that holds what several do, for a prefix that spans resources."""
        merged = cls()
        for bucket in buckets:
            merged.entries.update(bucket.entries)
            merged.history.extend(bucket.history)
        merged.history.sort(key=revision_of)
        merged._keys = None
        return merged

    def put(self, entry: Entry) -> None:
        """Set an entry without any history, as it is loaded from disk."""
        if entry.key not in self.entries:
            self._keys = None
        self.entries[entry.key] = entry

    def remove(self, key: str) -> None:
        """Remove an entry without any history, as it is loaded from disk."""
        if self.entries.pop(key, None):
            self._keys = None

    def apply(self, event: Event) -> None:
        """Make `event` the newest change."""
        key = event.entry.key
        if event.deleted:
            del self.entries[key]
            if self._keys is not None:
                del self._keys[bisect_left(self._keys, key)]
        else:
            if event.previous is None and self._keys is not None:
                insort(self._keys, key)
            self.entries[key] = event.entry
        self.history.append(event)

    def forget(self, revision: int) -> None:
        """Drop history up to and including `revision`."""
        del self.history[: bisect_right(self.history, revision, key=revision_of)]

    def events(self, prefix: str, after: int) -> list[Event]:
        """The events under `prefix` later than `after`, oldest first."""
        start = bisect_right(self.history, after, key=revision_of)
        return [event for event in self.history[start:] if event.entry.key.startswith(prefix)]

    def page(self, prefix: str, after: str, limit: int, revision: int) -> Page:
        """Entries under `prefix` as they stood at `revision`; see `Store.list`."""
        keys = self._ordered()
        low, high = bisect_left(keys, prefix), len(keys)
        if prefix:
            high = bisect_left(keys, prefix[:-1] + chr(ord(prefix[-1]) + 1), low)
        if after:
            low = bisect_right(keys, after, low, high) if after >= prefix else low
        if undo := self._undo(prefix, revision):
            return self._page_of_past(undo, keys[low:high], after, limit, revision)
        end = min(high, low + limit) if limit > 0 else high
        return Page([self.entries[key] for key in keys[low:end]], revision, high - end)

    def _page_of_past(
        self, undo: dict[str, Entry | None], keys: list[str], after: str, limit: int, revision: int
    ) -> Page:
        """The page that begins with `keys`, which are there now, where those of `undo` are as it says. What has
        not changed is neither sorted again nor looked at, but for what is on the page."""
        gone = [
            key for key, entry in undo.items() if entry is not None and key not in self.entries and key > after
        ]
        if gone:
            keys = sorted(keys + gone)  # most are in order already
        came = sum(entry is None and key in self.entries and key > after for key, entry in undo.items())
        found: list[Entry] = []
        for key in keys:
            entry = undo[key] if key in undo else self.entries[key]
            if entry is None:
                continue
            found.append(entry)
            if len(found) == limit:
                break
        return Page(found, revision, len(keys) - came - len(found))

    def _ordered(self) -> list[str]:
        if self._keys is None:
            self._keys = sorted(self.entries)
        return self._keys

    def _undo(self, prefix: str, revision: int) -> dict[str, Entry | None]:
        """What the changed keys held at `revision` (None: nothing), from the first change after it."""
        undo: dict[str, Entry | None] = {}
        for event in reversed(self.history):
            if event.entry.revision <= revision:
                break
            if event.entry.key.startswith(prefix):
                undo[event.entry.key] = event.previous
        return undo
