"""The registry: the API's verbs on every kind, over the store.

Reads are synchronous and answer from memory. The resourceVersion of an object is the store's revision, every
write is a compare-and-swap, status and spec never overwrite each other, what changes nothing is not written.
Entries hold bytes that are never changed, and objects (`decoded`) that are shared and read-only.
As a Service named "registry" it sends bookmarks and removes old Events; all else works without it running.
"""

import asyncio
from collections.abc import Callable

from minikube_py.aio.clock import Clock
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj
from minikube_py.registry import entries as _entries
from minikube_py.registry import expiry, faults
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
from minikube_py.registry.lists import list_entries, parse_revision
from minikube_py.registry.patching import Patcher
from minikube_py.registry.pipeline import AdmitAll, Pipeline, Write
from minikube_py.registry.subresources import Subresources, scale_entry, scaled
from minikube_py.registry.watches import ObjectWatch, Watches
from minikube_py.registry.writing import Writer
from minikube_py.store.base import Entry, Event, RevisionMismatch, Store

UPKEEP_SECONDS = 60.0
"""Between two rounds of bookmarks and of removing old Events."""
RETRIES = 20
DECODED_AT_ONCE = 200
Entries = list[Entry]  # within the class, `list` is the verb
Take = Callable[[Obj], None]


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
        self._pipeline = Pipeline(store, facts, clock, ServiceAllocator(store, facts), AdmitAll())
        self._writer = Writer(self._pipeline)
        self._patcher = Patcher(self._pipeline, self._writer)
        self._deleter = Deleter(self._pipeline)
        self._watches = Watches(store)
        self.converter: Converter | None = None
        self.subresources = Subresources(self._pipeline, self._deleter, signer)

    @property
    def admission(self) -> Admission:
        """The plugins that every write passes."""
        return self._pipeline.admission

    @admission.setter
    def admission(self, admission: Admission) -> None:
        self._pipeline.admission = admission

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
        """The object, or its Scale. Errors: NotFound, Timeout for a resourceVersion of the future."""
        asked = parse_revision(resource_version)
        if asked > self.store.revision:
            raise faults.too_large(asked, self.store.revision)
        entry = self._pipeline.stored(kind, namespace, name)
        self._check_subresource(kind, subresource)
        return scale_entry(entry) if subresource == "scale" else entry

    def list(self, kind: Kind, namespace: str, options: ListOptions = ListOptions()) -> Listing:  # noqa: B008
        """The selected objects of a namespace (empty: of all). Errors: BadRequest, Invalid, Expired,
        Timeout."""
        return list_entries(self.store, kind, namespace, options)

    def watch(self, kind: Kind, namespace: str, options: WatchOptions = WatchOptions()) -> ObjectWatch:  # noqa: B008
        """The changes of the selected objects, in batches; `close` it in the end.
        Errors, here or while iterating: BadRequest, Invalid, Expired, Timeout."""
        return self._watches.open(kind, namespace, options)

    def follow(self, kind: Kind, put: Take, remove: Take) -> Callable[[], None]:
        """Hand every object of a kind to `put`, then each new state, and to `remove` each last one, in order,
        before the write that made it returns. Objects are shared and read-only. The result ends it."""

        def take(event: Event) -> None:
            (remove if event.deleted else put)(_entries.decoded(event.entry))

        for entry in self.store.list(kind.prefix()).entries:
            put(_entries.decoded(entry))
        return self.store.subscribe(kind.prefix(), take)

    async def create(self, kind: Kind, namespace: str, obj: Obj, context: Context) -> Entry:
        """Store a new object, which is taken over. Errors: AlreadyExists, Invalid, BadRequest, Forbidden."""
        return await self._writer.create(Write(kind, context), namespace, obj)

    async def update(
        self, kind: Kind, namespace: str, name: str, obj: Obj, context: Context, subresource: str = ""
    ) -> tuple[Entry, bool]:
        """Replace an object (which is taken over), or what `subresource` names of it; whether it was created.
        Errors: NotFound, Conflict, Invalid, BadRequest, Forbidden."""
        self._check_subresource(kind, subresource)
        write, key = Write(kind, context, subresource), Key(namespace, name)
        if subresource == "scale":
            return await self._scale(write, key, obj), False
        return await self._writer.update(write, key, obj)

    async def _scale(self, write: Write, key: Key, scale: Obj) -> Entry:
        unconditional = not (scale.get("metadata") or {}).get("resourceVersion")
        for _ in range(RETRIES if unconditional else 1):
            entry = self._pipeline.stored(write.kind, *key)
            try:
                wanted = scaled(self.decoded(entry), scale)
                return scale_entry(await self._writer.replace(write, entry, wanted))
            except RevisionMismatch:
                continue
        raise faults.conflict(write.kind, key.name)

    async def patch(
        self, kind: Kind, namespace: str, name: str, patch: Patch, context: Context, subresource: str = ""
    ) -> tuple[Entry, bool]:
        """Patch an object, its status or its scale; whether it was created (by a server-side apply).
        Errors: NotFound, Conflict, Invalid, BadRequest, UnsupportedMediaType, Forbidden."""
        self._check_subresource(kind, subresource)
        return await self._patcher.patch(Write(kind, context, subresource), Key(namespace, name), patch)

    async def delete(
        self, kind: Kind, namespace: str, name: str, options: DeleteOptions, context: Context
    ) -> Deletion:
        """Delete an object, at once or by marking it. Errors: NotFound, Conflict, BadRequest, Forbidden."""
        return await self._deleter.delete(kind, namespace, name, options, context)

    async def delete_collection(
        self, kind: Kind, namespace: str, selected: ListOptions, options: DeleteOptions, context: Context
    ) -> Entries:
        """Delete the selected objects; each as its deletion left it."""
        return await self._deleter.delete_collection(kind, namespace, selected, options, context)

    async def post(
        self, kind: Kind, namespace: str, name: str, subresource: str, body: Obj, context: Context
    ) -> Obj:
        """Create a binding, eviction or token. Errors: NotFound, Conflict, BadRequest, Invalid, Forbidden."""
        return await self.subresources.post(Write(kind, context, subresource), Key(namespace, name), body)

    def _check_subresource(self, kind: Kind, subresource: str) -> None:
        if subresource and subresource not in kind.subresources:
            raise faults.no_subresource(kind)

    async def warm(self) -> None:
        """Decode what a restart left encoded, a little at a time, so that no first list holds up the loop."""
        for kind in self.catalogue.all():
            for place, entry in enumerate(self.store.list(kind.prefix()).entries):
                _entries.decoded(entry)
                if place % DECODED_AT_ONCE == DECODED_AT_ONCE - 1:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

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
