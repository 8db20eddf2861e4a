"""What every write shares: the store, the clock, the admission plugins, the allocators, and committing.

`settle` turns the store's refusals into the API's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from minikube_py.aio.clock import Clock
from minikube_py.errors import ServiceUnavailable
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy, timestamp
from minikube_py.registry import faults
from minikube_py.registry.addresses import companions
from minikube_py.registry.allocators import ServiceAllocator
from minikube_py.registry.base import Admission, Attributes, ClusterFacts, Context
from minikube_py.registry.entries import decoded, encoding, imagined
from minikube_py.registry.versions import Versions, is_plain
from minikube_py.store.base import Delete, Entry, Op, Put, Store, StoreUnavailable


@dataclass(slots=True)
class Write:
    """A write under way: to what kind (in whose form it is judged), in which request, to which part. It does
    not change; to enforce that would cost each write more."""

    kind: Kind
    context: Context
    subresource: str = ""
    requested: Kind | None = None
    """The version that the request is in, where objects are judged in another one."""

    @property
    def version(self) -> Kind:
        """The kind in whose form the client speaks."""
        return self.requested or self.kind

    @property
    def to_main(self) -> bool:
        """Whether it changes the object's main part (all but its status)."""
        return self.subresource in ("", "scale")


class AdmitAll:
    """The admission of a registry that has been given no other: everything passes as it is."""

    async def mutate(self, request: Attributes) -> None:
        """Change nothing."""

    async def validate(self, request: Attributes) -> None:
        """Refuse nothing."""


def _defaulted(obj: Obj) -> bytes:
    """What defaults may depend on, to be compared."""
    return orjson.dumps([obj[key] for key in obj if key not in _NOT_DEFAULTED])


_NOT_DEFAULTED = frozenset(("apiVersion", "kind", "metadata", "status"))
_ASIDE: Obj = {"metadata": None, "status": None}


def same_parts(new: Obj, old: Obj) -> bool:
    """Whether two objects are equal but for their metadata and status. That costs little where they share what
    is in their parts."""
    return {**new, **_ASIDE} == {**old, **_ASIDE}


_SECOND = timedelta(seconds=1)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Pipeline:
    """The stages that writes pass through; `admission` may be exchanged at any time."""

    store: Store
    facts: ClusterFacts
    clock: Clock
    services: ServiceAllocator
    versions: Versions
    admission: Admission
    _second: tuple[datetime, datetime, str] = (_LONG_AGO, _LONG_AGO, "")

    def now(self) -> str:
        """The time now as metav1.Time."""
        moment = self.clock.now()
        begin, end, text = self._second
        if not begin <= moment < end:
            begin = moment.replace(microsecond=0)
            text = timestamp(begin)
            self._second = begin, begin + _SECOND, text
        return text

    async def mutate(self, request: Attributes) -> None:
        """Let admission change the request's object, and give defaults to what it added."""
        obj, old = request.object, request.old
        if obj is None or not request.kind.has_defaults:
            await self.admission.mutate(request)
            return
        untouched = old is not None and same_parts(obj, old)
        before = b"" if untouched else _defaulted(obj)
        await self.admission.mutate(request)
        if untouched and old is not None:
            if same_parts(obj, old):
                return
            obj.update(copy({key: part for key, part in obj.items() if key not in _NOT_DEFAULTED}))
        elif _defaulted(obj) == before:
            return
        request.kind.default(obj)

    def stored(self, kind: Kind, namespace: str, name: str) -> Entry:
        """The current entry. Errors: NotFound."""
        entry = self.store.get(kind.storage_key(namespace, name))
        if entry is None:
            raise faults.not_found(kind, name)
        return entry

    async def commit(self, ops: Sequence[Op]) -> Entry:
        """Store `ops` as one change; the first one's entry. Errors: RevisionMismatch, ServiceUnavailable."""
        try:
            entry = (await self.store.commit(ops))[0]
        except StoreUnavailable as error:
            raise ServiceUnavailable(f"the store cannot be written: {error}") from error
        if entry is None:
            raise RuntimeError(f"the store gave no entry for {ops[0].key}")
        return entry

    async def current(self, kind: Kind, key: str) -> Entry | None:
        """The current entry as an object of `kind`, or None. Errors: InternalError where a webhook fails."""
        entry = self.store.get(key)
        return entry if entry is None or is_plain(kind) else await self.versions.shown(kind, entry)

    async def add(self, kind: Kind, key: str, obj: Obj, more: Sequence[Op] = ()) -> Entry:
        """Store a new `obj` of `kind`, and `more` with it. Errors: RevisionMismatch, ServiceUnavailable."""
        if is_plain(kind):
            return await self.commit([Put(key, encoding(obj), 0), *more])
        stored = await self.versions.stored(kind, obj)
        return await self.versions.shown(kind, await self.commit([Put(key, encoding(stored), 0), *more]))

    async def put(self, kind: Kind, old: Entry, obj: Obj, *, dry_run: bool) -> Entry:
        """Store `obj`, of `kind`, in the place of `old`; the new entry. Errors: RevisionMismatch,
        ServiceUnavailable."""
        if dry_run:
            return imagined(old.key, obj, old.revision)
        if is_plain(kind):
            beside = companions(kind, old, obj, self.now)
            return await self.commit([Put(old.key, encoding(obj, decoded(old)), old.revision), *beside])
        stored = await self.versions.stored(kind, obj)
        return await self.versions.shown(
            kind, await self.commit([Put(old.key, encoding(stored), old.revision)])
        )

    async def is_stored(self, kind: Kind, entry: Entry, obj: Obj) -> bool:
        """Whether `obj`, which is what `entry` shows, is stored in the very form that it would be given now: of
        another version, or schema, it is not, and is written again to be. Errors: InternalError."""
        current = self.store.get(entry.key)
        if kind.schema is None or current is None or current is entry or current.revision != entry.revision:
            return True
        stored = await self.versions.stored(kind, copy(obj))
        return stored == decoded(current)

    async def remove(self, kind: Kind, old: Entry, last: Obj, *, dry_run: bool) -> Entry:
        """Remove `old`, showing watchers `last`, an object of `kind`. Errors: RevisionMismatch,
        ServiceUnavailable."""
        if dry_run:
            return imagined(old.key, last, old.revision)
        stored = await self.versions.stored(kind, last)
        beside = companions(kind, old, None, self.now)
        entry = await self.commit([Delete(old.key, old.revision, encoding(stored)), *beside])
        return await self.versions.shown(kind, entry)
