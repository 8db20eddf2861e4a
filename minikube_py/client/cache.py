"""The tables of a cache: one kind's objects, indexed, with those who want to hear of changes.

A table never copies: what is put in is handed out, shared and read-only. Both clients feed the same tables, the
local one from the store's commits, the HTTP one from a list and watch. Whoever begins where there are many
objects (`follow`, `file`) meets them a few at a time, and each change in its place among them.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from minikube_py.aio.turns import Turns, Unmet
from minikube_py.client.base import Change, Index
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, key_of, owner_references

log = logging.getLogger(__name__)

OnChange = Callable[[Change], None]
OWNER, NAMESPACE = "\0owner", "\0namespace"


def _owners(obj: Obj) -> Iterable[str]:
    return [ref.get("uid", "") for ref in owner_references(obj)]


def _namespace(obj: Obj) -> Iterable[str]:
    return (obj["metadata"].get("namespace") or "",)


class Filed:
    """Objects filed under the values of one index."""

    def __init__(self, of: Index) -> None:
        self._of = of
        self._objects: dict[str, dict[Key, Obj]] = {}

    def under(self, value: str) -> Sequence[Obj]:
        found = self._objects.get(value)
        return tuple(found.values()) if found else ()

    def file(self, key: Key, new: Obj | None, old: Obj | None) -> None:
        """Move an object from the values of `old` to those of `new`."""
        after = tuple(self._of(new)) if new is not None else ()
        before = tuple(self._of(old)) if old is not None else ()
        if before != after:
            for value in {*before}.difference(after):
                filed = self._objects[value]
                del filed[key]
                if not filed:
                    del self._objects[value]
        if new is not None:
            for value in after:
                if value in self._objects:
                    self._objects[value][key] = new
                else:
                    self._objects[value] = {key: new}


class Filing(NamedTuple):
    """An index that does not file all objects yet."""

    filed: Filed
    unmet: Unmet[Key, Obj]

    def note(self, key: Key, new: Obj | None, old: Obj | None) -> None:
        """An object changes."""
        self.filed.file(key, new, None if self.unmet.took(key) else old)


class Table:
    """The known objects of one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._objects: dict[Key, Obj] = {}
        self._filings: dict[str, Filing] = {}
        self._indexes: dict[str, Filed] = {OWNER: Filed(_owners)}
        if kind.namespaced:
            self._indexes[NAMESPACE] = Filed(_namespace)
        self._readers: tuple[OnChange, ...] = ()
        self._subscribed: dict[object, OnChange] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Obj | None:
        return self._objects.get(key)

    def all(self) -> Sequence[Obj]:
        return tuple(self._objects.values())

    def under(self, index: str, value: str) -> Sequence[Obj]:
        """The objects filed under `value`. Errors: KeyError for an index that was not added."""
        return self._indexes[index].under(value)

    def add_index(self, index: str, of: Index) -> None:
        """File objects under what `of` gives; an index of that name that is there stays as it is."""
        while self._file_some(index, of):
            pass

    async def file(self, index: str, of: Index) -> None:
        """As `add_index`; the loop may turn meanwhile. All who ask for the same index have a part in it."""
        turns = Turns()
        while self._file_some(index, of):
            await turns.pause()

    def _file_some(self, index: str, of: Index) -> bool:
        """File a few objects more; whether others are left."""
        if index in self._indexes:
            return False
        if index not in self._filings:
            self._filings[index] = Filing(Filed(of), Unmet(self._objects))
        filing = self._filings[index]
        for key, obj in filing.unmet.some():
            filing.filed.file(key, obj, None)
        if filing.unmet.left:
            return True
        self._indexes[index] = self._filings.pop(index).filed
        return False

    def subscribe(self, on_change: OnChange) -> Callable[[], None]:
        """Tell `on_change` of all objects as ADDED, then of each change."""
        unsubscribe = self._subscribe(on_change)
        for obj in self.all():
            on_change(Change("ADDED", self.kind, obj))
        return unsubscribe

    async def follow(self, on_change: OnChange) -> Callable[[], None]:
        """As `subscribe`; the loop may turn until all objects are told. One that changes before it is told is
        ADDED as it then is, one that goes before is never told."""
        unmet = Unmet(self._objects)

        def reader(change: Change) -> None:
            if unmet.left and unmet.took(key_of(change.object)):
                if change.type == "DELETED":
                    return
                change = Change("ADDED", self.kind, change.object)
            on_change(change)

        unsubscribe, turns = self._subscribe(reader), Turns()
        try:
            while unmet.left:
                for _, obj in unmet.some():
                    on_change(Change("ADDED", self.kind, obj))
                await turns.pause()
        except BaseException:
            unsubscribe()
            raise
        return unsubscribe

    def _subscribe(self, reader: OnChange) -> Callable[[], None]:
        """Tell a reader of changes, until the result is called."""
        subscription = object()
        self._subscribed[subscription] = reader
        self._readers = tuple(self._subscribed.values())

        def unsubscribe() -> None:
            self._subscribed.pop(subscription, None)
            self._readers = tuple(self._subscribed.values())

        return unsubscribe

    def put(self, obj: Obj) -> None:
        """Show a new state of an object and tell the readers."""
        key = key_of(obj)
        old = self._objects.get(key)
        self._objects[key] = obj
        for filed in self._indexes.values():
            filed.file(key, obj, old)
        for filing in self._filings.values():
            filing.note(key, obj, old)
        self._tell(Change("ADDED" if old is None else "MODIFIED", self.kind, obj, old))

    def remove(self, last: Obj) -> None:
        """Show an object no longer; `last` is its last state. An object that is not known is passed over."""
        key = key_of(last)
        old = self._objects.pop(key, None)
        if old is None:
            return
        for filed in self._indexes.values():
            filed.file(key, None, old)
        for filing in self._filings.values():
            filing.note(key, None, old)
        self._tell(Change("DELETED", self.kind, last, old))

    def replace(self, objects: Mapping[Key, Obj]) -> None:
        """Show exactly `objects`: what a new list found, in one step, telling the readers what differs."""
        for key, old in list(self._objects.items()):
            found = objects.get(key)
            if found is None or found["metadata"].get("uid") != old["metadata"].get("uid"):
                self.remove(old)
        for key, obj in objects.items():
            known = self._objects.get(key)
            if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self.put(obj)

    def _tell(self, change: Change) -> None:
        for reader in self._readers:
            try:
                reader(change)
            except Exception:
                log.exception("a subscriber to %s failed", self.kind.resource)


class Tables(ABC):
    """The reads of a Cache over one table for each kind; a subclass says where a kind's table comes from."""

    @abstractmethod
    def _table(self, kind: Kind) -> Table:
        """The table of `kind`, made when it is first asked for."""

    async def _made(self, kind: Kind) -> Table:
        """`_table`; the loop may turn meanwhile."""
        return self._table(kind)

    def get(self, kind: Kind, key: Key) -> Obj | None:
        return self._table(kind).get(key)

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        table = self._table(kind)
        return table.under(NAMESPACE, namespace) if namespace and kind.namespaced else table.all()

    def owned(self, kind: Kind, uid: str) -> Sequence[Obj]:
        return self._table(kind).under(OWNER, uid)

    def indexed(self, kind: Kind, index: str, value: str) -> Sequence[Obj]:
        return self._table(kind).under(index, value)

    def add_index(self, kind: Kind, index: str, of: Index) -> None:
        self._table(kind).add_index(index, of)

    async def file(self, kind: Kind, index: str, of: Index) -> None:
        await (await self._made(kind)).file(index, of)

    def subscribe(self, kind: Kind, on_change: Callable[[Change], None]) -> Callable[[], None]:
        return self._table(kind).subscribe(on_change)

    async def follow(self, kind: Kind, on_change: Callable[[Change], None]) -> Callable[[], None]:
        return await (await self._made(kind)).follow(on_change)
