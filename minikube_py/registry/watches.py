"""WATCH: the store's events as API events, shared by all watchers of a kind.

A watcher reads the store's own subscription. What an event becomes (the `WatchEvent`, and the bytes of an
object that left a selection) is made once and shared, so that a hundred watchers decode and encode nothing. A
watcher that falls behind ends; its client resumes from the last resourceVersion it saw. Bookmarks come from
`Watches.tick`, which the registry calls about once a minute. Who serves many watchers reads one `ObjectWatch`
for all that have an `identity` in common, once each has seen what was before (`ready`, `take`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import copy
from minikube_py.registry import faults
from minikube_py.registry.base import WatchEvent, WatchOptions
from minikube_py.registry.entries import decoded, encoding
from minikube_py.registry.indexes import Making
from minikube_py.registry.lists import check_watch, parse_revision
from minikube_py.registry.recent import Recent
from minikube_py.registry.selection import Selection
from minikube_py.registry.versions import Versions, is_plain
from minikube_py.store.base import Compacted, Entry, Event, Lagging, Store, Watch

REMEMBERED = 2048
"""Events whose API form is kept for the other watchers."""
CAPACITY = 4096
"""Events that a watcher may lag behind."""


def bookmark(revision: int, *, initial_end: bool = False) -> WatchEvent:
    """A bookmark: everything up to `revision` has been sent."""
    return WatchEvent("BOOKMARK", Entry("", b"", revision, 0), initial_end)


class SharedEvents:
    """API events by store event, made once for all watchers."""

    def __init__(self) -> None:
        self._plain: OrderedDict[int, tuple[Event, WatchEvent]] = OrderedDict()
        self._turned: OrderedDict[tuple[int, str], tuple[Event, WatchEvent]] = OrderedDict()
        self._selected: OrderedDict[tuple[int, str, str], tuple[Event, WatchEvent | None]] = OrderedDict()

    def selected(self, event: Event, selection: Selection) -> WatchEvent | None:
        """What those see of the event who watch with a selection, or None: judged once for all of them."""
        if selection.empty:
            return self.plain(event)
        key = (id(event), *selection.text)
        known = self._selected.get(key)
        if known is None:
            known = self._selected[key] = (event, turned(event, selection, self))
            if len(self._selected) > REMEMBERED:
                self._selected.popitem(last=False)
        return known[1]

    def plain(self, event: Event) -> WatchEvent:
        """The event as a watcher without selectors sees it."""
        known = self._plain.get(id(event))
        if known is not None:
            return known[1]
        type = "DELETED" if event.deleted else "MODIFIED" if event.previous else "ADDED"
        made = WatchEvent(type, event.entry)
        self._plain[id(event)] = (event, made)  # holding the event keeps its id from being used again
        if len(self._plain) > REMEMBERED:
            self._plain.popitem(last=False)
        return made

    def entered(self, event: Event) -> WatchEvent:
        """The object began to match: ADDED."""
        return self._turn(event, "ADDED", lambda: event.entry)

    def left(self, event: Event) -> WatchEvent:
        """The object ceased to match: DELETED, in its last matching state at the event's revision."""
        return self._turn(event, "DELETED", lambda: _at_revision(event))

    def _turn(self, event: Event, type: str, entry: Callable[[], Entry]) -> WatchEvent:
        known = self._turned.get((id(event), type))
        if known is not None:
            return known[1]
        made = WatchEvent(type, entry())
        self._turned[(id(event), type)] = (event, made)
        if len(self._turned) > REMEMBERED:
            self._turned.popitem(last=False)
        return made


def _at_revision(event: Event) -> Entry:
    previous = event.previous or event.entry
    value = encoding(copy(decoded(previous)))(event.revision)
    return Entry(previous.key, value.data, event.revision, previous.create_revision, value.decoded)


def turned(event: Event, selection: Selection, shared: SharedEvents) -> WatchEvent | None:
    """What a watcher with `selection` sees of `event`, or None."""
    if selection.empty:
        return shared.plain(event)
    matched = event.previous is not None and selection.matches_entry(event.previous)
    if event.deleted:
        return shared.plain(event) if matched else None
    matches = selection.matches_entry(event.entry)
    if matches:
        if matched or event.previous is None:
            return shared.plain(event)
        return shared.entered(event)
    return shared.left(event) if matched else None


class ObjectWatch:
    """One watcher: an async iterator of batches of API events; `close` ends it.

    Iteration ends by itself where the reader fell behind; Expired is raised where history is lost.
    """

    def __init__(
        self, watches: "Watches", kind: Kind, prefix: str, selection: Selection, *, bookmarks: bool
    ) -> None:
        self._watches = watches
        self.kind = kind
        self._shows = None if is_plain(kind) else kind
        self._store = watches.store
        self.prefix = prefix
        self._selection = selection
        self.bookmarks = bookmarks
        self._first: Sequence[Entry] = ()
        self.making: Making | None = None
        """What remains to be made of an index that would have found its first objects."""
        self._told = 0  # so many of the first
        self.marks_end = False
        """Whether a bookmark follows the first objects."""
        self._recent: Sequence[Event] = ()
        self._source: Watch | None = None
        self._after = 0  # what happens up to this revision is not shown
        self.seen = 0
        """The revision up to which events were taken."""
        self._waiting = False
        self._due = 0  # the revision of a bookmark to hand out, 0 for none
        self._closed = False

    def begin(self, after: int, first: Sequence[Entry] = ()) -> None:
        """Hand out those of `first` that are selected, then what happens after revision `after`, which may be
        one of the future. Errors: Expired."""
        self._first = first
        self._after = after
        self.seen = min(after, self._store.revision)
        self._source = self._open(self.seen)

    @property
    def identity(self) -> tuple[int, str, str, str]:
        """Watches of which this is equal show the same of what happens (while either is held)."""
        return (id(self.kind), self.prefix, *self._selection.text)

    @property
    def after(self) -> int:
        """The revision after which events are shown, which may be one of the future."""
        return max(self._after, self.seen)

    @property
    def ready(self) -> bool:
        """Whether `take` has something to do that it need not wait for. Where it has not, all that happened
        was taken."""
        return bool(self._first or self.marks_end or self._recent) or self._source is None or self._source.ready

    def again(self, after: int) -> "ObjectWatch":
        """Another watch of the same, from revision `after` on, with bookmarks. Errors: Expired."""
        made = ObjectWatch(self._watches, self.kind, self.prefix, self._selection, bookmarks=True)
        made.begin(after)
        self._watches.remember(made)
        return made

    def _open(self, after: int) -> Watch:
        try:
            return self._store.watch(self.prefix, after=after, capacity=CAPACITY)
        except Compacted as error:
            recent = self._watches.recent.since(self.prefix, after)
            if recent is None:
                raise faults.too_old(error.asked, error.compacted) from error
            self._recent = recent
            self.seen = self._store.revision
            return self._store.watch(self.prefix, after=self.seen, capacity=CAPACITY)

    def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        return self

    async def __anext__(self) -> Sequence[WatchEvent]:
        while not (found := await self.take()):
            pass
        return found

    async def take(self) -> Sequence[WatchEvent]:
        """The next events, or none where what happened is not selected. Errors: StopAsyncIteration at the end,
        InternalError."""
        if self._first or self.marks_end:
            return await self._begun()
        if self._recent:
            recent, self._recent = self._recent, ()
            return await self._turned(recent)
        if self._source is None:
            raise StopAsyncIteration
        try:
            self._waiting = True
            events = await anext(self._source)
        except (StopAsyncIteration, Lagging) as end:
            if self._due and not self._closed and not isinstance(end, Lagging):
                return [self._take_bookmark()]
            self.close()
            raise StopAsyncIteration from end
        finally:
            self._waiting = False
        self.seen = events[-1].revision
        return await self._turned(events)

    async def _begun(self) -> list[WatchEvent]:
        """The next of the first objects; after the last one the bookmark that marks their end."""
        selection, step = self._selection, self._selection.at_once
        if self.making is not None and next(self.making, self) is self:
            self.making = None
        entries = self._first[self._told : self._told + step]
        self._told += step
        if self._told >= len(self._first):
            self._first = ()
        if self._shows is not None:
            versions = self._watches.versions
            entries = await versions.all_shown(versions.current(self._shows), entries)
        found = entries if selection.empty else selection.choose(entries)
        events = [WatchEvent("ADDED", entry) for entry in found]
        if self.marks_end and not self._first:
            self.marks_end = False
            events.append(bookmark(self._after, initial_end=True))
        return events

    async def _turned(self, events: Sequence[Event]) -> list[WatchEvent]:
        selection, shared = self._selection, self._watches.shared
        if events[0].revision <= self._after:
            events = [event for event in events if event.revision > self._after]
        if self._shows is not None:
            versions, whole = self._watches.versions, not selection.empty
            kind = versions.current(self._shows)
            events = [await versions.event(kind, event, whole=whole) for event in events]
        found: list[WatchEvent] = []
        for start in range(0, len(events), selection.at_once):
            if start:
                await asyncio.sleep(0)
            part = events[start : start + selection.at_once]
            found += [made for event in part if (made := shared.selected(event, selection))]
        return found

    def _take_bookmark(self) -> WatchEvent:
        due, self._due = self._due, 0
        self.seen = due
        self._source = self._open(due)
        return bookmark(due)

    def tick(self) -> None:
        """Send a bookmark, if the reader waits and has been given all there is.

        The waiting source is closed, which wakes the reader, and taken up again after the bookmark's revision.
        """
        if self._waiting and self.seen >= self._after and self._source is not None and not self._source.ready:
            self._due = self._store.revision
            self._source.close()

    def close(self) -> None:
        """End the watch: iteration stops after what happened until now."""
        self._closed = True
        if self._source is not None:
            self._source.close()
        self._watches.forget(self)


class Watches:
    """Opens watches and knows those that are open."""

    def __init__(self, store: Store, versions: Versions) -> None:
        self.store = store
        self.versions = versions
        self.shared = SharedEvents()
        self.recent = Recent(store)
        self._bookmarked: set[ObjectWatch] = set()

    def close(self) -> None:
        """Follow the store no longer."""
        self.recent.close()

    def remember(self, watch: ObjectWatch) -> None:
        """`watch` is to be sent bookmarks."""
        self._bookmarked.add(watch)

    def forget(self, watch: ObjectWatch) -> None:
        """`watch` has ended."""
        self._bookmarked.discard(watch)

    def tick(self) -> None:
        """Send a bookmark to each watcher that asked for them and has nothing else to read."""
        for watch in tuple(self._bookmarked):
            watch.tick()

    def _first(self, watch: ObjectWatch, selection: Selection) -> Sequence[Entry]:
        """The entries, as they are now, among which the watch finds its first ones: from an index where there
        is one. Where there should be one, all, and the watch has a part in making it for the next."""
        if selection.empty or not is_plain(watch.kind):
            return self.store.list(watch.prefix).entries
        found = self.versions.indexes.found(watch.kind, watch.prefix, selection.pins)
        if isinstance(found, Sequence):
            return found
        watch.making = found
        return self.store.list(watch.prefix).entries

    def open(
        self, kind: Kind, namespace: str, options: WatchOptions, selection: Selection | None = None
    ) -> ObjectWatch:
        """A watch as the options ask: from a resourceVersion, or first the current objects as ADDED. Their
        `selection` may be at hand. Errors: BadRequest, Invalid, Expired, Timeout."""
        check_watch(options)
        asked = parse_revision(options.resource_version)
        if asked > self.store.revision and options.send_initial_events:
            raise faults.too_large(asked, self.store.revision)
        if selection is None:
            selection = Selection.of(kind, options.labels, options.fields)
        prefix = kind.prefix(selection.namespace_within(namespace)) if kind.namespaced else kind.prefix()
        if pinned := selection.exact_name(kind, namespace):
            prefix = kind.storage_key(*pinned)
        watch = ObjectWatch(self, kind, prefix, selection, bookmarks=options.bookmarks)
        if asked > self.store.revision or (not asked and options.send_initial_events is False):
            watch.begin(max(asked, self.store.revision))
        elif asked and not options.send_initial_events:
            watch.begin(asked)
        else:
            watch.begin(self.store.revision, self._first(watch, selection))
            watch.marks_end = bool(options.send_initial_events and options.bookmarks)
        if options.bookmarks:
            self.remember(watch)
        return watch
