"""Versions: several versions of one resource over one storage.

A built-in kind with `storage` is written in its stored form, whose strategy, admission and validation judge it;
a custom resource is written in the version of the request, whose schema judges it, and is converted when it is
stored. Reads convert what is stored to the version that is asked for: a custom resource's bytes as they are
where the version fits, without decoding. A conversion is made once for all who ask (the last ones are kept),
also where a webhook makes it.

Kinds with neither `storage` nor a schema are plain: nothing here costs them anything.
A custom resource is given the defaults of its schema when it is read, and loses the fields that its schema does
not know, for it may have been stored under another schema (API documentation, "Defaulting"). A Kind value that
takes another's place is met at the next read.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson

from minikube_py.aio.haste import LARGE, hasten
from minikube_py.errors import ApiError, InternalError
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy
from minikube_py.meta.patch.managed import View, Views
from minikube_py.meta.schema import type_of
from minikube_py.meta.validation import decode
from minikube_py.registry.base import Converter, Listing, ListOptions
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.entries import decoded, exact
from minikube_py.registry.indexes import Indexes
from minikube_py.registry.lists import Position, list_in_turns
from minikube_py.registry.selection import CHUNK, Selection
from minikube_py.store.base import Entry, Event

REMEMBERED = 4096
"""Converted entries that are kept, and converted events."""
TURN_SECONDS = 0.01
"""Converting holds up the loop for no longer than this."""

Identity = tuple[int, str, str]


def is_plain(kind: Kind) -> bool:
    """Whether the kind's objects are answered as they are stored."""
    return kind.schema is None and kind.storage is None


def working(kind: Kind) -> Kind:
    """The kind in whose form a write to `kind` is judged."""
    return kind.stored if kind.schema is None else kind


def converted(source: Kind, target: Kind, obj: Obj) -> Obj:
    """`obj` of the kind `source`, which is not changed, as one of `target`, another version of its resource."""
    made = source.to_storage(copy(obj)) if source.storage is not None else obj
    if target.storage is not None:
        made = target.from_storage(copy(made))
    return _named(target, made)


def _named(kind: Kind, obj: Obj) -> Obj:
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    return {"apiVersion": kind.api_version, "kind": kind.kind, **rest}


class Versions:
    """Converts objects, entries and events between the versions of a resource."""

    def __init__(self, indexes: Indexes, catalogue: Catalogue) -> None:
        self.indexes = indexes
        self._store = indexes.store
        self._catalogue = catalogue
        self.converter: Converter | None = None
        self._known: OrderedDict[Identity, tuple[Entry, Kind, Entry]] = OrderedDict()
        self._events: OrderedDict[tuple[int, str, str, bool], tuple[Event, Kind, Event]] = OrderedDict()
        self._met: dict[tuple[str, str], tuple[Kind, int, bytes]] = {}
        self._asked: dict[Identity, asyncio.Future[None]] = {}

    def current(self, kind: Kind) -> Kind:
        """The Kind value that now stands for `kind`; itself where it is served no longer."""
        return self._catalogue.by_kind(kind.api_version, kind.kind) or kind

    # Reading

    async def shown(self, kind: Kind, entry: Entry) -> Entry:
        """The entry in the version `kind`. Errors: InternalError where a webhook fails."""
        if is_plain(kind):
            return entry
        found = self._at_hand(kind, entry) if len(entry.data) > LARGE else self.shown_now(kind, entry)
        return found if found is not None else (await self.all_shown(kind, [entry]))[0]

    async def all_shown(self, kind: Kind, entries: Sequence[Entry]) -> list[Entry]:
        """The entries in the version `kind`, in their order. Errors: InternalError where a webhook fails."""
        found: list[Entry] = []
        missing: list[int] = []
        began = time.monotonic()
        for at, entry in enumerate(entries):
            if len(entry.data) > LARGE and self._at_hand(kind, entry) is None:
                await self._prepare(kind, entry)
            shown = self.shown_now(kind, entry)
            if shown is None:
                missing.append(at)
            found.append(entry if shown is None else shown)
            if at % 16 == 0 and time.monotonic() - began > TURN_SECONDS:
                await asyncio.sleep(0)
                began = time.monotonic()
        if missing:
            asked = await self._through_webhook(kind, [entries[at] for at in missing])
            for at, entry in zip(missing, asked, strict=True):
                found[at] = entry
        return found

    def shown_now(self, kind: Kind, entry: Entry) -> Entry | None:
        """The entry in the version `kind`, or None where only a webhook can tell."""
        found = self._at_hand(kind, entry)
        if found is not None:
            return found
        obj = decoded(entry)
        if kind.remote_conversion and obj.get("apiVersion") != kind.api_version:
            return None
        return self._remember(kind, entry, _entry(entry, self._read(kind, obj)))

    def _at_hand(self, kind: Kind, entry: Entry) -> Entry | None:
        """The entry in the version `kind`, where it need not be converted."""
        if is_plain(kind) or self._fits(kind, entry):
            return entry
        known = self._known.get((id(entry), kind.api_version, kind.kind))
        return known[2] if known is not None and known[1] is kind else None

    async def _prepare(self, kind: Kind, entry: Entry) -> None:
        """Have a large entry in the version `kind` at hand, unless only a webhook can tell it."""

        def made() -> Entry | None:
            obj = decoded(entry)
            if kind.remote_conversion and obj.get("apiVersion") != kind.api_version:
                return None
            return _entry(entry, self._read(kind, obj))

        found = await asyncio.to_thread(made)
        if found is not None:
            self._remember(kind, entry, found)

    def _fits(self, kind: Kind, entry: Entry) -> bool:
        """Whether the bytes are of the version, and were written under the kind's present schema."""
        known = self._met.get((kind.api_version, kind.kind))
        if known is None or known[0] is not kind:
            head = orjson.dumps({"apiVersion": kind.api_version, "kind": kind.kind})[:-1]
            known = self._met[(kind.api_version, kind.kind)] = (kind, self._store.revision, head)
        return entry.revision > known[1] and entry.data.startswith(known[2])

    def _read(self, kind: Kind, stored: Obj) -> Obj:
        """A stored object as one of `kind`."""
        if kind.schema is None:
            return converted(kind.stored, kind, stored)
        made: Obj = _named(kind, copy(stored if kind.storage is None else kind.from_storage(copy(stored))))
        try:
            made = decode(kind, made)
        except ApiError:
            return made  # it was stored under another schema; an update of it will be told
        kind.default(made)
        return made

    def _remember(self, kind: Kind, entry: Entry, made: Entry) -> Entry:
        identity = (id(entry), kind.api_version, kind.kind)
        self._known[identity] = (entry, kind, made)  # holding the entry keeps its id from being used again
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return made

    async def _through_webhook(self, kind: Kind, entries: Sequence[Entry]) -> list[Entry]:
        """The entries as the converter makes them, each asked for once whoever waits for it."""
        made: dict[int, Entry] = {}
        while left := [entry for entry in entries if id(entry) not in made]:
            mine = []
            for entry in left:
                identity = (id(entry), kind.api_version, kind.kind)
                known = self._known.get(identity)
                if known is not None and known[1] is kind:
                    made[id(entry)] = known[2]
                elif identity not in self._asked:
                    mine.append(entry)
            if mine:
                made |= await self._ask(kind, mine)
                continue
            others = [self._asked.get((id(entry), kind.api_version, kind.kind)) for entry in left]
            waiting = next((other for other in others if other is not None), None)
            if waiting is not None:
                await asyncio.wait([waiting])
        return [made[id(entry)] for entry in entries]

    async def _ask(self, kind: Kind, entries: Sequence[Entry]) -> dict[int, Entry]:
        identities = [(id(entry), kind.api_version, kind.kind) for entry in entries]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for identity in identities:
            self._asked[identity] = done
        try:
            objects = await self._convert(kind, [decoded(entry) for entry in entries], kind.api_version)
            return {
                id(entry): self._remember(kind, entry, _entry(entry, self._read(kind, obj)))
                for entry, obj in zip(entries, objects, strict=True)
            }
        finally:
            for identity in identities:
                del self._asked[identity]
            done.set_result(None)

    async def _convert(self, kind: Kind, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        if self.converter is None:
            raise InternalError(f"Internal error occurred: {kind.resource} has no conversion to {api_version}")
        return await self.converter.convert(kind, objects, api_version)

    async def list(self, kind: Kind, namespace: str, options: ListOptions) -> Listing:
        """`list_in_turns` in the version `kind`. Errors: as there, InternalError where a webhook fails."""
        selection = await hasten(Selection.of, kind, options.labels, options.fields)
        if selection.by_metadata:
            listing = await list_in_turns(self.indexes, kind, namespace, options)
            return replace(listing, entries=await self.all_shown(kind, listing.entries))
        found: list[Entry] = []
        token = options.continue_token
        paged = replace(options, fields="", limit=max(CHUNK, options.limit))
        while True:
            page = await list_in_turns(self.indexes, kind, namespace, paged)
            for stored, entry in zip(page.entries, await self.all_shown(kind, page.entries), strict=True):
                if not selection.matches_entry(entry):
                    continue
                found.append(entry)
                if len(found) == options.limit and (stored is not page.entries[-1] or page.continue_token):
                    token = Position(page.revision, entry.key.removeprefix(kind.prefix())).token()
                    return Listing(found, page.revision, token)
            if not page.continue_token:
                return Listing(found, page.revision)
            paged = replace(paged, continue_token=page.continue_token, resource_version="", match="")

    async def event(self, kind: Kind, event: Event, *, whole: bool) -> Event:
        """A store's event in the version `kind`, one for all watchers; `whole`: its previous state too."""
        previous = event.previous if whole else None
        if self._fits(kind, event.entry) and (previous is None or self._fits(kind, previous)):
            return event
        identity = (id(event), kind.api_version, kind.kind, whole)
        known = self._events.get(identity)
        if known is not None and known[1] is kind:
            return known[2]
        shown = await self.all_shown(kind, [event.entry] if previous is None else [event.entry, previous])
        known = self._events.get(identity)
        if known is not None and known[1] is kind:
            return known[2]  # another watcher was first
        made = event
        if shown[0] is not event.entry or shown[-1] is not (previous or event.entry):
            made = Event(shown[0], event.previous if previous is None else shown[1], event.deleted)
        self._events[identity] = (event, kind, made)
        if len(self._events) > REMEMBERED:
            self._events.popitem(last=False)
        return made

    # Writing

    def judged(self, kind: Kind, obj: Obj) -> Obj:
        """An object of `kind`, already given its defaults, in the form in which a write of it is judged."""
        target = working(kind)
        return obj if target is kind else converted(kind, target, obj)

    async def stored(self, kind: Kind, obj: Obj) -> Obj:
        """A judged object, which is taken over, as it is stored. Errors: InternalError."""
        if is_plain(kind):
            return obj
        target = kind.stored
        if kind.storage is None:
            return _named(kind, obj)
        if not kind.remote_conversion:
            return converted(kind, target, obj)
        return _named(target, (await self._convert(kind, [obj], target.api_version))[0])

    def views(self, kind: Kind) -> Views:
        """How objects of `kind` look in the versions that managedFields name. The versions of a custom
        resource have their field paths in common."""

        def view(api_version: str) -> View | None:
            if api_version == kind.api_version:
                return type_of(kind), _same
            other = self._catalogue.by_kind(api_version, kind.kind)
            if other is None or other.prefix() != kind.prefix():
                return None
            change: Callable[[Obj], Obj] = _same
            if kind.schema is None:
                change = lambda obj: converted(kind, other, obj)  # noqa: E731
            return type_of(other), change

        return view


def _same(obj: Obj) -> Obj:
    return obj


def _entry(stored: Entry, obj: Obj) -> Entry:
    """The entry that shows `obj`, which is made of what is stored; that itself where it is no other."""
    if obj == decoded(stored):
        return stored
    return Entry(stored.key, exact(orjson.dumps(obj)), stored.revision, stored.create_revision, obj)
