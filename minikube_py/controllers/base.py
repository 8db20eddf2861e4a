"""Controller: drives objects of one kind towards their spec, one key at a time.

Guarantees: a key is reconciled by one worker at a time, several keys in bounded parallel; an error is
retried with exponential backoff, a Conflict at once (5 ms); a key runs again only once the cache shows
everything its last run wrote, so `reconcile` may trust the cache and needs no expectations. A controller
that breaks outside of `reconcile` ends, and the controller manager starts it again.

A subclass names what it `reconciles` (changes enqueue the object), what it `owns` (changes enqueue the
controller owner of that kind) and what else it `watches` (kind > keys to enqueue).
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.aio.workqueue import QueueMetrics, WorkQueue
from minikube_py.client.base import MERGE_PATCH, Cache, Change, Client, Clients, Index
from minikube_py.client.events import EventRecorder
from minikube_py.errors import ApiError, Conflict
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    is_deleting,
    key_of,
    namespace_of,
    revision_of,
)

log = logging.getLogger(__name__)

CACHE_WAIT = 0.02
"""Seconds until a key whose writes a remote cache has not shown yet is looked at again."""

KeysOf = Callable[[Change], Iterable[Any]]


class Signer(Protocol):
    """Signs ServiceAccount tokens."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT of `claims`."""


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """What controllers must know of the cluster. Times in seconds."""

    root_ca: str = ""  # PEM: the cluster's CA, for kube-root-ca.crt and token Secrets
    signer: Signer | None = None
    authority: tuple[bytes, bytes] | None = None  # PEM: certificate and key that sign requests; None: none does
    allows: Callable[[Obj], bool] | None = None
    """Whether what the spec of a SubjectAccessReview asks is allowed."""
    read: Callable[[str], Awaitable[Obj]] | None = None
    """GET of an API path, for the metrics APIs: the object there. Errors: ApiError."""
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_mask: int = 24
    load_balancer_pool: str = ""
    """The range of IPv4 addresses for Services of type LoadBalancer; empty: they get none."""
    node_grace: float = 40.0
    node_startup_grace: float = 60.0
    terminated_pod_threshold: int = 12500


@dataclass(frozen=True, slots=True)
class ControllerContext:
    """What every controller is built from."""

    clients: Clients
    clock: Clock
    config: ControllerConfig = ControllerConfig()
    queues: QueueMetrics = field(default_factory=QueueMetrics)


@dataclass(slots=True)
class Written:
    """What one run wrote: the highest revision, and the objects it deleted with their last revisions."""

    revision: int = 0
    deleted: list[tuple[Kind, Key, int]] = field(default_factory=list)

    def shown_by(self, cache: Cache) -> bool:
        """Whether `cache` has reached all of it."""
        if cache.revision < self.revision:
            return False
        for kind, key, revision in self.deleted:
            seen = cache.get(kind, key)
            if seen is not None and revision_of(seen) <= revision and not is_deleting(seen):
                return False
        return True


_written: ContextVar[Written | None] = ContextVar("written", default=None)


class TrackedClient:
    """A Client that notes the revisions which the current run writes."""

    def __init__(self, inner: Client) -> None:
        self._inner = inner
        self.cache = inner.cache

    def _note(self, stored: Obj) -> Obj:
        written = _written.get()
        if written is not None:
            written.revision = max(written.revision, revision_of(stored))
        return stored

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        return await self._inner.get(kind, name, namespace)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        return self._note(await self._inner.create(kind, obj))

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        return self._note(await self._inner.update(kind, obj, subresource=subresource))

    async def patch(
        self, kind: Kind, key: Key, body: Any, *, type: str = MERGE_PATCH, subresource: str = ""
    ) -> Obj:
        return self._note(await self._inner.patch(kind, key, body, type=type, subresource=subresource))

    async def delete(self, kind: Kind, key: Key, options: Obj | None = None) -> None:
        written, known = _written.get(), self.cache.get(kind, key)
        await self._inner.delete(kind, key, options)
        if written is not None and known is not None and not is_deleting(known):
            written.deleted.append((kind, key, revision_of(known)))

    async def post(self, kind: Kind, key: Key, subresource: str, body: Obj) -> Obj:
        return self._note(await self._inner.post(kind, key, subresource, body))


@dataclass(slots=True)
class Metrics:
    """Counters of one controller's work; how long it takes its queue tells."""

    runs: int = 0
    errors: int = 0
    conflicts: int = 0


class Controller(ABC):
    """See the module. `account` is the kube-system ServiceAccount it acts as (default: its name)."""

    name: ClassVar[str]
    account: ClassVar[str] = ""
    reconciles: ClassVar[Kind | None] = None
    owns: ClassVar[tuple[Kind, ...]] = ()
    workers: ClassVar[int] = 5

    def __init__(self, context: ControllerContext) -> None:
        client = context.clients.named(self.account or self.name)
        self.clients = context.clients
        self.clock = context.clock
        self.config = context.config
        self.client: Client = TrackedClient(client)
        self.cache = client.cache
        self.events = EventRecorder(client, context.clock, self.name)
        self.metrics = Metrics()
        self._queues = context.queues
        self.queue = self._new_queue()
        self._unseen: dict[Any, Written] = {}
        self._subscriptions: list[Callable[[], None]] = []
        self._followed: dict[str, Kind] = {}
        self._begins: list[tuple[Kind, tuple[KeysOf, ...]]] | None = None  # what is subscribed to at the start
        self._broken: asyncio.Future[None] | None = None

    @abstractmethod
    async def reconcile(self, key: Any) -> float | None:
        """Drive `key` towards its spec; the seconds after which to look again, or None."""

    def watches(self) -> Mapping[Kind, KeysOf]:
        """Kinds whose changes concern other keys than their own, and which ones."""
        return {}

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        """The cache indexes it needs: kind, name, and the values of an object."""
        return ()

    def _new_queue(self) -> WorkQueue[Any]:
        return WorkQueue(self.clock, name=self.name, metrics=self._queues)

    async def run(self, ready: asyncio.Event) -> None:
        """Work until cancelled; `ready` is set once every known object is enqueued."""
        self.queue = self._new_queue()
        self._unseen.clear()
        self._broken = asyncio.get_running_loop().create_future()
        async with self.queue, self.events, Tasks(self.name) as tasks:
            try:
                for kind, index, of in self.indexes():
                    await self.cache.file(kind, index, of)
                await self._subscribe_all()
                for number in range(self.workers):
                    tasks.spawn(self._work(), f"worker-{number}")
                ready.set()
                await self._broken
            finally:
                for unsubscribe in self._subscriptions:
                    unsubscribe()
                self._subscriptions.clear()
                self._followed.clear()

    async def _subscribe_all(self) -> None:
        begins: list[tuple[Kind, tuple[KeysOf, ...]]] = []
        self._begins = begins
        wanted: dict[Kind, list[KeysOf]] = {}
        if self.reconciles is not None:
            wanted[self.reconciles] = [lambda change: (key_of(change.object),)]
        for kind in self.owns:
            wanted.setdefault(kind, []).append(self._owners)
        for kind, keys_of in self.watches().items():
            wanted.setdefault(kind, []).append(keys_of)
        self._begins = None
        for kind, sources in (*begins, *wanted.items()):
            self._subscriptions.append(await self.cache.follow(kind, self._enqueues(sources)))

    def subscribe(self, kind: Kind, *sources: KeysOf) -> None:
        """Enqueue what `sources` give for each change of `kind`, until the controller ends."""
        if self._begins is not None:
            self._begins.append((kind, sources))
        else:
            self._subscriptions.append(self.cache.subscribe(kind, self._enqueues(sources)))

    def _enqueues(self, sources: Iterable[KeysOf]) -> Callable[[Change], None]:
        def on_change(change: Change) -> None:
            try:
                for keys_of in sources:
                    for key in keys_of(change):
                        self.queue.add(key)
            except Exception as error:  # raising would break the cache, for everyone
                if self._broken is not None and not self._broken.done():
                    self._broken.set_exception(error)

        return on_change

    def follow_every_kind(self, keys_of: KeysOf, unheard: Collection[str] = frozenset()) -> tuple[Kind, ...]:
        """Subscribe to each kind served now that is not followed yet, but for the resources `unheard`; every
        kind served, one version each."""
        new: dict[str, Kind] = {}
        for kind in self.clients.kinds():
            known = self._followed.get(kind.resource)
            if known is None and {"list", "watch", "delete"} <= set(kind.verbs):
                new.setdefault(kind.resource, kind)
            elif known is not None and known.api_version == kind.api_version:
                self._followed[kind.resource] = kind  # its schema may have changed
        self._followed.update(new)
        for resource, kind in new.items():
            if resource not in unheard:
                self.subscribe(kind, keys_of)
        return tuple(self._followed.values())

    def _owners(self, change: Change) -> Iterable[Key]:
        """The keys of the controller owners, now and before, if they are of the kind reconciled."""
        keys = set()
        for obj in (change.object, change.old):
            ref = controller_of(obj) if obj is not None else None
            if obj is not None and ref is not None and self.is_owner(ref):
                keys.add(Key(namespace_of(obj), ref["name"]))
        return keys

    def is_owner(self, ref: Obj) -> bool:
        """Whether an owner reference names an object of the kind reconciled."""
        kind = self.reconciles
        return (
            kind is not None
            and ref.get("kind") == kind.kind
            and ref.get("apiVersion", "").rpartition("/")[0] == kind.group
        )

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._attempt(key)
            finally:
                self.queue.done(key)

    async def _attempt(self, key: Any) -> None:
        unseen = self._unseen.get(key)
        if unseen is not None:
            if not unseen.shown_by(self.cache):
                self.queue.add_after(key, CACHE_WAIT)
                return
            del self._unseen[key]
        written = Written()
        token = _written.set(written)
        self.metrics.runs += 1
        try:
            again = await self.reconcile(key)
        except Conflict as error:
            self.metrics.conflicts += 1
            log.debug("%s: %s: %s", self.name, key, error)
            self.queue.retry(key)
        except ApiError as error:
            self.metrics.errors += 1
            log.info("%s: %s: %s", self.name, key, error)
            self.queue.retry(key)
        except Exception:
            self.metrics.errors += 1
            log.exception("%s: %s failed", self.name, key)
            self.queue.retry(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
        finally:
            _written.reset(token)
            if not written.shown_by(self.cache):
                self._unseen[key] = written

    async def set_status(self, kind: Kind, obj: Obj, status: Obj) -> Obj:
        """Store `status` of `obj` if it differs; the object as it then stands. Errors: Conflict where the
        object has changed since."""
        if (obj.get("status") or {}) == status:
            return obj
        return await self.client.update(kind, {**obj, "status": status}, subresource="status")
