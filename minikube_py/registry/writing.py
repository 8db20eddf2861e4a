"""CREATE and UPDATE: the stages of a write, in the order of the API server.

identity > defaults > managed fields > mutating admission > defaults > strategy > allocation > validation >
validating admission > commit. A write that changes nothing is not stored. Every write is a compare-and-swap on
the stored revision; one that names no resourceVersion is tried again on the newer object.
The objects handed in are taken over: the caller may not use them afterwards.
"""

from collections.abc import Sequence
from functools import partial

from minikube_py.aio.haste import aside
from minikube_py.errors import BadRequest
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, copy, key_of
from minikube_py.registry import addresses, faults, metadata, namespaces, stamping, tracking, validating
from minikube_py.registry.allocators import Claim
from minikube_py.registry.base import Attributes
from minikube_py.registry.entries import decoded, imagined
from minikube_py.registry.pipeline import Pipeline, Write, same_parts
from minikube_py.store.base import Entry, Op, RevisionMismatch

NAME_RETRIES = 8
UPDATE_RETRIES = 20


class Writer:
    """Creates and replaces objects."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def create(self, write: Write, namespace: str, obj: Obj, *, applied: bool = False) -> Entry:
        """Store a new object. `applied`: its managedFields are those of a server-side apply.
        Errors: AlreadyExists, Invalid, BadRequest, what admission raises."""
        metadata.check_identity(write.version, obj, namespace)
        judged = await aside(write.context.size, self._new, write, obj, applied=applied)
        return await self._create(write, namespace, judged)

    def _structured(self, write: Write, obj: Obj) -> Obj:
        return self.judged(write, validating.structured(write.version, obj, write.context))

    def _new(self, write: Write, obj: Obj, *, applied: bool) -> Obj:
        return self._complete(write, self._structured(write, obj), applied=applied)

    async def _create(self, write: Write, namespace: str, obj: Obj) -> Entry:
        """Store a new object that is complete."""
        pipeline, kind, meta = self._pipeline, write.kind, obj["metadata"]
        now = pipeline.now()
        request = Attributes("CREATE", kind, namespace, meta.get("name") or "", obj, None, write.context)
        request.requested = write.requested
        await pipeline.mutate(request)
        generated = not meta.get("name") and bool(meta.get("generateName"))
        metadata.fill_for_create(meta, now)
        request.name = meta.get("name") or ""
        stamping.stamp(write, obj, None, now)
        kind.prepare(obj, None)
        if kind.schema is not None:
            metadata.count_generation(obj, None)
        claim = self._claim(write, obj, None)
        try:
            await aside(write.context.size, validating.check, kind, obj, None, requested=write.requested)
            write.context.warnings.extend(kind.warn(obj, None))
            await pipeline.admission.validate(request)
            return await self._insert(write, namespace, obj, generated=generated)
        finally:
            claim.release()
            request.end()

    def _complete(self, write: Write, obj: Obj, *, applied: bool) -> Obj:
        """A new object, itself, with defaults and with who set its fields. Errors: BadRequest."""
        if obj["metadata"].get("resourceVersion") and not applied:
            raise BadRequest("resourceVersion should not be set on objects to be created")
        write.kind.default(obj)
        if not applied:
            views = None if write.version is write.kind else self._pipeline.versions.views(write.kind)
            tracking.track(write, None, obj, self._pipeline.now(), views)
        return obj

    def judged(self, write: Write, obj: Obj) -> Obj:
        """A structured object of the request's version in the form in which it is judged."""
        if write.version is write.kind:
            return obj
        write.version.default(obj)
        return self._pipeline.versions.judged(write.version, obj)

    def _claim(self, write: Write, obj: Obj, old: Obj | None) -> Claim:
        if write.kind.resource != "services" or not write.to_main:
            return Claim()
        return self._pipeline.services.claim(write.kind, obj, old)

    async def _insert(self, write: Write, namespace: str, obj: Obj, *, generated: bool) -> Entry:
        kind, meta = write.kind, obj["metadata"]
        for _ in range(NAME_RETRIES):
            key = kind.storage_key(namespace, meta["name"])
            try:
                if write.context.dry_run:
                    if self._pipeline.store.get(key) is not None:
                        raise RevisionMismatch(key, 0, 1)
                    return imagined(key, obj)
                return await self._pipeline.add(kind, key, obj, self._companions(kind, obj))
            except RevisionMismatch as error:
                if error.key != key or not generated:
                    raise faults.already_exists(kind, meta["name"]) from error
                meta["name"] = metadata.generated_name(meta["generateName"])
        raise faults.no_unique_name(kind, meta["name"])

    def _companions(self, kind: Kind, obj: Obj) -> Sequence[Op]:
        if kind.resource != namespaces.RESOURCE:
            return addresses.companions(kind, None, obj, self._pipeline.now)
        return namespaces.companions(obj, self._pipeline.now(), self._pipeline.facts)

    async def update(self, write: Write, key: Key, obj: Obj) -> tuple[Entry, bool]:
        """Replace an object, or the part that the write is to; whether it was created.
        Errors: NotFound, Conflict, Invalid, BadRequest, what admission raises."""
        kind = write.kind
        metadata.check_identity(write.version, obj, key.namespace, key.name)
        obj = await aside(write.context.size, self._structured, write, obj)
        given = obj["metadata"].get("resourceVersion") not in (None, "", "0")
        for _ in range(UPDATE_RETRIES):
            entry = await self._pipeline.current(kind, kind.storage_key(*key))
            if entry is None:
                if uid := obj["metadata"].get("uid"):
                    raise faults.other_uid(kind, key, uid, "")
                if not kind.create_on_update or write.subresource or given:
                    raise faults.not_found(kind, key.name)
                write.context.creating()
                obj = await aside(write.context.size, self._complete, write, obj, applied=False)
                return await self._create(write, key.namespace, obj), True
            if not (given or kind.unconditional_update):
                raise faults.unversioned(kind, key.name)
            try:
                return await self.replace(write, entry, obj if given else copy(obj)), False
            except RevisionMismatch as error:
                if given:
                    raise faults.conflict(kind, key.name) from error
        raise faults.conflict(kind, key.name)

    async def replace(self, write: Write, entry: Entry, new: Obj, *, applied: bool = False) -> Entry:
        """Replace the stored `entry` by `new`; the stored entry itself where nothing changes.
        Errors: RevisionMismatch where another write came first; Conflict, Invalid, what admission raises."""
        pipeline, kind, old = self._pipeline, write.kind, decoded(entry)
        metadata.check_preconditions(kind, new["metadata"], old["metadata"])
        size = max(write.context.size, len(entry.data))
        candidate = await aside(size, self._candidate, write, new, old, applied=applied)
        request = _update_of(write, candidate, old)
        await pipeline.mutate(request)
        if write.to_main:
            kind.prepare(candidate, old)
        else:
            stamping.stamp(write, candidate, old, pipeline.now())
        if _counts_generation(write, candidate):
            metadata.count_generation(candidate, old, but=() if not kind.has_status else ("status",))
        claim = self._claim(write, candidate, old)
        try:
            told = partial(validating.check, subresource=write.subresource, requested=write.requested)
            await aside(size, told, kind, candidate, old)
            write.context.warnings.extend(kind.warn(candidate, old))
            await pipeline.admission.validate(request)
            return await self._store(write, entry, candidate)
        finally:
            claim.release()
            request.end()

    def _candidate(self, write: Write, new: Obj, old: Obj, *, applied: bool) -> Obj:
        """What a write makes of the stored object, with defaults, and with who set its fields."""
        kind, pipeline = write.kind, self._pipeline
        candidate = merged(write, new, old)
        if _needs_defaults(write, candidate, old):
            kind.default(candidate)
        if not applied:
            tracking.track(write, old, candidate, pipeline.now(), pipeline.versions.views(kind))
        return candidate

    async def _store(self, write: Write, entry: Entry, new: Obj) -> Entry:
        dry_run = write.context.dry_run
        if metadata.is_released(write.kind, new):
            return await self._pipeline.remove(write.kind, entry, new, dry_run=dry_run)
        old = decoded(entry)
        is_same = await aside(len(entry.data), tracking.is_same, new, old)
        if is_same and await self._pipeline.is_stored(write.kind, entry, new):
            return entry
        return await self._pipeline.put(write.kind, entry, new, dry_run=dry_run)


def _update_of(write: Write, new: Obj, old: Obj) -> Attributes:
    key = key_of(old)
    return Attributes(
        "UPDATE", write.kind, *key, new, old, write.context, write.subresource, requested=write.requested
    )


def _needs_defaults(write: Write, new: Obj, old: Obj) -> bool:
    """Whether there may be defaults to fill in: the stored object has all of its own."""
    kind = write.kind
    if kind.schema is not None:
        return True
    if not kind.has_defaults:
        return False
    if not (write.to_main or write.subresource == "ephemeralcontainers"):
        return kind.default_of_whole
    return kind.default_of_whole or not same_parts(new, old)


def _counts_generation(write: Write, obj: Obj) -> bool:
    """Whether the registry counts; elsewhere the kind's strategy does."""
    counted = write.kind.schema is not None or write.subresource in ("ephemeralcontainers", "resize")
    return counted and obj["metadata"].get("generation") is not None


def merged(write: Write, new: Obj, old: Obj) -> Obj:
    """The object that a write to a part means: the rest is the stored object's. `new` is used up."""
    kind, subresource = write.kind, write.subresource
    metadata.carry_over(new["metadata"], old["metadata"])
    if write.to_main:
        if kind.has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = {**old["status"]}  # no stage of such a write changes what is below
        return new
    base: Obj = {**old} if subresource == "status" and kind.shares_parts else copy(old)
    if kind.schema is None:  # a custom resource's metadata belongs to the main resource alone
        base["metadata"] = new["metadata"]
    if subresource == "status":
        metadata.restore(base["metadata"], old["metadata"], kind.status_keeps)
        base.pop("status", None)
        if "status" in new:
            base["status"] = new["status"]
        if (qos := (old.get("status") or {}).get("qosClass")) and kind.resource == "pods":
            base["status"] = {"qosClass": qos, **(base.get("status") or {})}  # it is fixed at creation
    elif subresource in kind.parts:
        base = kind.parts[subresource].merge(new, base)
    else:
        raise faults.no_subresource(kind)
    return base
