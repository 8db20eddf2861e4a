"""The registry: the API's verbs on every kind, over the store.

Reads are synchronous and answer from memory. The resourceVersion of an object is the store's revision, every
write is a compare-and-swap, status and spec never overwrite each other, what changes nothing is not written.
Entries hold bytes that are never changed, and objects (`decoded`) that are shared and read-only.
As a Service named "registry" it sends bookmarks and removes old Events; all else works without it running.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from minikube_py.aio.clock import Clock
from minikube_py.aio.turns import Turns
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj
from minikube_py.registry import addresses, expiry, faults
from minikube_py.registry import entries as _entries
from minikube_py.registry.allocators import ServiceAllocator
from minikube_py.registry.base import (
    Admission,
    ClusterFacts,
    Context,
    Converter,
    DeleteOptions,
    Deletion,
    Listing,
    ListOptions,
    Patch,
    TokenSigner,
    WatchOptions,
)
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.deletion import Deleter
from minikube_py.registry.following import Following, Take
from minikube_py.registry.indexes import Indexes
from minikube_py.registry.lists import list_entries, list_in_turns, parse_revision
from minikube_py.registry.patching import Patcher
from minikube_py.registry.pipeline import AdmitAll, Pipeline, Write
from minikube_py.registry.scale import scale_entry, scaled
from minikube_py.registry.selection import Selection
from minikube_py.registry.subresources import Subresources
from minikube_py.registry.versions import Versions, is_plain, working
from minikube_py.registry.watches import ObjectWatch, Watches
from minikube_py.registry.writing import Writer
from minikube_py.store.base import Entry, RevisionMismatch, Store

UPKEEP_SECONDS = 60.0
"""Between two rounds of bookmarks and of removing old Events."""
RETRIES = 20
DECODED_AT_ONCE = 20


class Registry:
    """Verbs on any kind of the catalogue. `admission` may be set at any time."""

    name = "registry"

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        facts: ClusterFacts,
        clock: Clock,
        signer: TokenSigner | None = None,
    ) -> None:
        self.store = store
        self.catalogue = catalogue
        self.facts = facts
        self.indexes = Indexes(store)
        self.versions = Versions(self.indexes, catalogue)
        services = ServiceAllocator(store, facts)
        self._pipeline = Pipeline(store, facts, clock, services, self.versions, AdmitAll())
        self._writer = Writer(self._pipeline)
        self._patcher = Patcher(self._pipeline, self._writer)
        self._deleter = Deleter(self._pipeline)
        self._watches = Watches(store, self.versions)
        self.subresources = Subresources(self._pipeline, self._deleter, signer)

    @property
    def admission(self) -> Admission:
        """The plugins that every write passes."""
        return self._pipeline.admission

    @admission.setter
    def admission(self, admission: Admission) -> None:
        self._pipeline.admission = admission

    @property
    def converter(self) -> Converter | None:
        """Converts the objects of kinds with `remote_conversion`."""
        return self.versions.converter

    @converter.setter
    def converter(self, converter: Converter | None) -> None:
        self.versions.converter = converter

    @property
    def revision(self) -> int:
        """The resourceVersion of the last change."""
        return self.store.revision

    def decoded(self, entry: Entry) -> Obj:
        """The entry's object, shared and read-only."""
        return _entries.decoded(entry)

    def get(
        self, kind: Kind, namespace: str, name: str, resource_version: str = "", subresource: str = ""
    ) -> Entry:
        """The object, or its Scale; of a kind with several versions the object as it is stored (see `read`).
        Errors: NotFound, Timeout for a resourceVersion of the future."""
        asked = parse_revision(resource_version)
        if asked > self.store.revision:
            raise faults.too_large(asked, self.store.revision)
        entry = self._pipeline.stored(kind, namespace, name)
        self._check_subresource(kind, subresource)
        return scale_entry(kind.stored, entry) if subresource == "scale" and is_plain(kind) else entry

    async def read(
        self, kind: Kind, namespace: str, name: str, resource_version: str = "", subresource: str = ""
    ) -> Entry:
        """The object, or its Scale, in the version `kind`. Errors: as `get`, InternalError."""
        entry = self.get(kind, namespace, name, resource_version, subresource)
        if is_plain(kind):
            return entry
        entry = await self.versions.shown(kind, entry)
        return scale_entry(kind, entry) if subresource == "scale" else entry

    def list(self, kind: Kind, namespace: str, options: ListOptions = ListOptions()) -> Listing:  # noqa: B008
        """The selected objects of a namespace (empty: of all); of a kind that has several versions as they are
        stored (see `read_list`). Errors: BadRequest, Invalid, Expired, Timeout."""
        return list_entries(self.indexes, kind, namespace, options)

    async def read_list(self, kind: Kind, namespace: str, options: ListOptions) -> Listing:
        """The selected objects of a namespace (empty: of all) in the version `kind`.
        Errors: as `list`, InternalError."""
        if is_plain(kind):
            return await list_in_turns(self.indexes, kind, namespace, options)
        return await self.versions.list(kind, namespace, options)

    def watch(
        self,
        kind: Kind,
        namespace: str,
        options: WatchOptions = WatchOptions(),  # noqa: B008
        selection: Selection | None = None,
    ) -> ObjectWatch:
        """The changes of the selected objects, in batches; `close` it in the end. Their `selection` may be at
        hand. Errors, here or while iterating: BadRequest, Invalid, Expired, Timeout."""
        return self._watches.open(kind, namespace, options, selection)

    def follow(self, kind: Kind, put: Take, remove: Take) -> Callable[[], None]:
        """Hand every object of a kind to `put`, then each new state, and to `remove` each last one, in order,
        before the write that made it returns. Objects are shared and read-only, and in the version `kind`, but
        for those that only a webhook can convert: they are as they are stored. The result ends it."""
        following = self.following(kind, put, remove)
        try:
            while following.meet():
                pass
        except BaseException:
            following.close()
            raise
        return following.close

    def following(self, kind: Kind, put: Take, remove: Take) -> Following:
        """As `follow`, but the objects that are there are handed over as the reader meets them."""

        def shown(entry: Entry) -> Obj:
            return _entries.decoded(self.versions.shown_now(self.versions.current(kind), entry) or entry)

        return Following(self.store, kind.prefix(), shown, (put, remove))

    async def create(self, kind: Kind, namespace: str, obj: Obj, context: Context) -> Entry:
        """Store a new object, which is taken over. Errors: AlreadyExists, Invalid, BadRequest, Forbidden."""
        made = await self._writer.create(self._write(kind, context), namespace, obj)
        return await self.versions.shown(kind, made)

    def _write(self, kind: Kind, context: Context, subresource: str = "") -> Write:
        judged = working(kind)
        return Write(judged, context, subresource, None if judged is kind else kind)

    async def update(
        self, kind: Kind, namespace: str, name: str, obj: Obj, context: Context, subresource: str = ""
    ) -> tuple[Entry, bool]:
        """Replace an object (which is taken over), or what `subresource` names of it; whether it was created.
        Errors: NotFound, Conflict, Invalid, BadRequest, Forbidden."""
        self._check_subresource(kind, subresource)
        write, key = self._write(kind, context, subresource), Key(namespace, name)
        if subresource == "scale":
            return await self._scale(write, key, obj), False
        entry, created = await self._writer.update(write, key, obj)
        return await self.versions.shown(kind, entry), created

    async def _scale(self, write: Write, key: Key, scale: Obj) -> Entry:
        unconditional = not (scale.get("metadata") or {}).get("resourceVersion")
        for _ in range(RETRIES if unconditional else 1):
            stored = self._pipeline.stored(write.kind, *key)
            entry = await self.versions.shown(write.kind, stored)
            try:
                wanted = scaled(write.kind, self.decoded(entry), scale)
                return scale_entry(write.kind, await self._writer.replace(write, entry, wanted))
            except RevisionMismatch:
                continue
        raise faults.conflict(write.kind, key.name)

    async def patch(
        self, kind: Kind, namespace: str, name: str, patch: Patch, context: Context, subresource: str = ""
    ) -> tuple[Entry, bool]:
        """Patch an object, its status or its scale; whether it was created (by a server-side apply).
        Errors: NotFound, Conflict, Invalid, BadRequest, UnsupportedMediaType, Forbidden."""
        self._check_subresource(kind, subresource)
        entry, created = await self._patcher.patch(
            self._write(kind, context, subresource), Key(namespace, name), patch
        )
        return (entry if subresource == "scale" else await self.versions.shown(kind, entry)), created

    async def delete(
        self, kind: Kind, namespace: str, name: str, options: DeleteOptions, context: Context
    ) -> Deletion:
        """Delete an object, at once or by marking it. Errors: NotFound, Conflict, BadRequest, Forbidden."""
        done = await self._deleter.delete(self._write(kind, context), Key(namespace, name), options)
        return done if is_plain(kind) else replace(done, entry=await self.versions.shown(kind, done.entry))

    async def delete_collection(
        self, kind: Kind, namespace: str, selected: ListOptions, options: DeleteOptions, context: Context
    ) -> Listing:
        """Delete the selected objects; each as its deletion left it."""
        found = await self.read_list(kind, namespace, selected)
        left = await self._deleter.delete_all(self._write(kind, context), found.entries, options)
        return replace(found, entries=left if is_plain(kind) else await self.versions.all_shown(kind, left))

    async def post(
        self, kind: Kind, namespace: str, name: str, subresource: str, body: Obj, context: Context
    ) -> Obj:
        """Create a binding, eviction or token. Errors: NotFound, Conflict, BadRequest, Invalid, Forbidden."""
        return await self.subresources.post(self._write(kind, context, subresource), Key(namespace, name), body)

    def _check_subresource(self, kind: Kind, subresource: str) -> None:
        if subresource and subresource not in kind.subresources:
            raise faults.no_subresource(kind)

    async def warm(self) -> None:
        """Decode what a restart left encoded, a little at a time, so that no first list holds up the loop."""
        turns = Turns()
        for kind in self.catalogue.all():
            for place, entry in enumerate(self.store.list(kind.prefix()).entries):
                _entries.decoded(entry)
                if place % DECODED_AT_ONCE == 0:
                    await turns.pause()

    def now(self) -> datetime:
        """The time, by the registry's clock."""
        return self._pipeline.clock.now()

    async def repair(self) -> None:
        """Give Services the IPAddresses that a former version did not. Errors: ServiceUnavailable."""
        if ops := addresses.missing(self.store, self._pipeline.now()):
            await self._pipeline.commit(ops)

    def tick(self) -> None:
        """Send bookmarks to the watchers that asked for them."""
        self._watches.tick()

    async def run(self, ready: asyncio.Event) -> None:
        """Decode what is stored, then send bookmarks and remove old Events until cancelled."""
        await self.warm()
        ready.set()
        while True:
            await self._pipeline.clock.sleep(UPKEEP_SECONDS)
            self.tick()
            await expiry.sweep(self._pipeline)

    def close(self) -> None:
        """Follow the store no longer."""
        self._pipeline.services.close()
        self._watches.close()
        self.indexes.close()
