"""WATCH: the store's events as API events, shared by all watchers of a kind.

A watcher reads the store's own subscription. What an event becomes (the `WatchEvent`, and the bytes of an
object that left a selection) is made once and shared, so that a hundred watchers decode and encode nothing. A
watcher that falls behind ends; its client resumes from the last resourceVersion it saw. Bookmarks come from
`Watches.tick`, which the registry calls about once a minute.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import copy
from minikube_py.registry import faults
from minikube_py.registry.base import WatchEvent, WatchOptions
from minikube_py.registry.entries import decoded, encoding
from minikube_py.registry.lists import check_watch, parse_revision
from minikube_py.registry.recent import Recent
from minikube_py.registry.selection import EVERYTHING, Selection
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
        self._kind = None if is_plain(kind) else kind
        self._store = watches.store
        self._prefix = prefix
        self._selection = selection
        self.bookmarks = bookmarks
        self._first: list[WatchEvent] = []
        self._recent: Sequence[Event] = ()
        self._source: Watch | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._after = 0  # what happens up to this revision is not shown
        self._seen = 0  # the revision up to which events were taken from the source
        self._latest = 0  # the revision of the last event that the store published under the prefix
        self._waiting = False
        self._due = 0  # the revision of a bookmark to hand out, 0 for none
        self._closed = False

    def begin(self, after: int, first: list[WatchEvent]) -> None:
        """Hand out `first`, then what happens after revision `after`, which may be one of the future.
        Errors: Expired."""
        self._first = first
        self._after = after
        self._seen = min(after, self._store.revision)
        self._source = self._open(self._seen)
        if self.bookmarks:
            self._unsubscribe = self._store.subscribe(self._prefix, self._note)

    def _note(self, event: Event) -> None:
        self._latest = event.revision

    def _open(self, after: int) -> Watch:
        try:
            return self._store.watch(self._prefix, after=after, capacity=CAPACITY)
        except Compacted as error:
            recent = self._watches.recent.since(self._prefix, after)
            if recent is None:
                raise faults.too_old(error.asked, error.compacted) from error
            self._recent = recent
            self._seen = self._store.revision
            return self._store.watch(self._prefix, after=self._seen, capacity=CAPACITY)

    def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        return self

    async def __anext__(self) -> Sequence[WatchEvent]:
        if self._first:
            first, self._first = self._first, []
            if found := first if self._kind is None else await self._shown(self._kind, first):
                return found
        if self._recent:
            recent, self._recent = self._recent, ()
            if found := await self._turned(recent):
                return found
        while not self._closed and self._source is not None:
            try:
                self._waiting = True
                events = await anext(self._source)
            except StopAsyncIteration:
                if not self._due or self._closed:
                    break
                return [self._take_bookmark()]
            except Lagging:
                break
            finally:
                self._waiting = False
            self._seen = events[-1].revision
            if found := await self._turned(events):
                return found
        self.close()
        raise StopAsyncIteration

    async def _turned(self, events: Sequence[Event]) -> list[WatchEvent]:
        selection, shared = self._selection, self._watches.shared
        if events[0].revision <= self._after:
            events = [event for event in events if event.revision > self._after]
        if self._kind is not None:
            versions, whole = self._watches.versions, not selection.empty
            kind = versions.current(self._kind)
            events = [await versions.event(kind, event, whole=whole) for event in events]
        return [made for event in events if (made := shared.selected(event, selection))]

    async def _shown(self, kind: Kind, first: Sequence[WatchEvent]) -> list[WatchEvent]:
        """The first events in the version `kind`, as far as they are selected there."""
        versions = self._watches.versions
        entries = [event.entry for event in first if event.entry.key]
        found = [
            WatchEvent("ADDED", entry)
            for entry in await versions.all_shown(versions.current(kind), entries)
            if self._selection.empty or self._selection.matches_entry(entry)
        ]
        return found + [event for event in first if not event.entry.key]

    def _take_bookmark(self) -> WatchEvent:
        due, self._due = self._due, 0
        self._seen = due
        self._source = self._open(due)
        return bookmark(due)

    def tick(self) -> None:
        """Send a bookmark, if the reader waits and has been given all there is.

        The waiting source is closed, which wakes the reader, and taken up again after the bookmark's revision.
        """
        if self._waiting and self._latest <= self._seen >= self._after and self._source is not None:
            self._due = self._store.revision
            self._source.close()

    def close(self) -> None:
        """End the watch; a waiting reader's iteration stops."""
        self._closed = True
        if self._source is not None:
            self._source.close()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
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

    def forget(self, watch: ObjectWatch) -> None:
        """`watch` has ended."""
        self._bookmarked.discard(watch)

    def tick(self) -> None:
        """Send a bookmark to each watcher that asked for them and has nothing else to read."""
        for watch in tuple(self._bookmarked):
            watch.tick()

    def open(self, kind: Kind, namespace: str, options: WatchOptions) -> ObjectWatch:
        """A watch as the options ask: from a resourceVersion, or first the current objects as ADDED.
        Errors: BadRequest, Invalid, Expired, Timeout."""
        check_watch(options)
        asked = parse_revision(options.resource_version)
        if asked > self.store.revision and options.send_initial_events:
            raise faults.too_large(asked, self.store.revision)
        selection = Selection.of(kind, options.labels, options.fields)
        prefix = kind.prefix(selection.namespace_within(namespace)) if kind.namespaced else kind.prefix()
        if pinned := selection.exact_name(kind, namespace):
            prefix = kind.storage_key(*pinned)
        watch = ObjectWatch(self, kind, prefix, selection, bookmarks=options.bookmarks)
        if asked > self.store.revision or (not asked and options.send_initial_events is False):
            watch.begin(max(asked, self.store.revision), [])
        elif asked and not options.send_initial_events:
            watch.begin(asked, [])
        else:
            coarse = selection if is_plain(kind) else EVERYTHING  # its fields are those of the version
            watch.begin(*self._initial(prefix, coarse, options))
        if options.bookmarks:
            self._bookmarked.add(watch)
        return watch

    def _initial(
        self, prefix: str, selection: Selection, options: WatchOptions
    ) -> tuple[int, list[WatchEvent]]:
        page = self.store.list(prefix)
        entries = page.entries if selection.empty else selection.choose(page.entries)
        first = [WatchEvent("ADDED", entry) for entry in entries]
        if options.send_initial_events and options.bookmarks:
            first.append(bookmark(page.revision, initial_end=True))
        return page.revision, first
