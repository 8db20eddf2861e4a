"""The life of CustomResourceDefinitions: names accepted, kinds served, instances removed at the end.

What is served follows the stored definitions before the write that changed them returns: a request right after
it finds the new kind, schema or version. Kinds that have not changed stay the same values, so that what is
derived of them stays too. Conditions are written by one task, one definition at a time.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.aio.workqueue import WorkQueue
from minikube_py.apiserver.customresources import naming
from minikube_py.apiserver.customresources.kinds import kinds_of, storage_of
from minikube_py.errors import ApiError, Conflict, InternalError, NotFound
from minikube_py.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, condition_is, copy, is_deleting, name_of
from minikube_py.registry.base import Context, DeleteOptions, ListOptions
from minikube_py.registry.deletion import CLEANUP
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)

_CONTEXT = Context(field_manager="kube-apiserver", user_agent="kube-apiserver")
_REMOVAL = replace(_CONTEXT, admitted=True)
_IN_PROGRESS = (True, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
_COMPLETED = (False, "InstanceDeletionCompleted", "removed all instances")
_FAILED = "InstanceDeletionFailed"
_NEVER = (False, "NeverEstablished", "resource was never established")


class CustomResources:
    """Serves the kinds of every definition; an async context manager. `ended` is called with kinds that are
    served no longer."""

    def __init__(self, registry: Registry, clock: Clock, ended: Callable[[Kind], None]) -> None:
        self._registry = registry
        self._clock = clock
        self._ended = ended
        self._definitions: dict[str, Obj] = {}
        self._served: dict[str, tuple[Obj, tuple[Kind, ...]]] = {}
        self._waiting: dict[str, Callable[[], None]] = {}
        self._unfollow: Callable[[], None] | None = None
        self._queue: WorkQueue[str] = WorkQueue(clock, name="customresources")
        self._tasks = Tasks("customresources")

    async def __aenter__(self) -> "CustomResources":
        self._queue = WorkQueue(self._clock, name="customresources")
        await self._queue.__aenter__()
        self._unfollow = self._registry.follow(CustomResourceDefinition, self._put, self._remove)
        self._tasks.spawn(self._work(), "conditions")
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._unfollow is not None:
            self._unfollow()
        for unfollow in self._waiting.values():
            unfollow()
        self._waiting.clear()
        await self._tasks.cancel()
        await self._queue.__aexit__(None, None, None)

    # What is served

    def _put(self, definition: Obj) -> None:
        name = name_of(definition)
        known = self._definitions.get(name)
        self._definitions[name] = definition
        self._serve(name, definition)
        if known is None or _untold(known) != _untold(definition):
            self._queue.add(name)

    def _remove(self, definition: Obj) -> None:
        name = name_of(definition)
        self._definitions.pop(name, None)
        for kind in self._served.pop(name, ({}, ()))[1]:
            self._registry.catalogue.remove(kind)
            self._ended(kind)
        for other in self._of_group(definition):
            self._queue.add(name_of(other))

    def _serve(self, name: str, definition: Obj) -> None:
        basis, known = self._served.get(name, ({}, ()))
        now = _basis(definition)
        if basis == now:
            return
        made = _kept(kinds_of(definition), known, basis, now)
        self._served[name] = now, made
        catalogue = self._registry.catalogue
        for kind in known:
            if not any(kind.api_version == one.api_version and kind.kind == one.kind for one in made):
                catalogue.remove(kind)
                self._ended(kind)
        for kind in made:
            if catalogue.by_kind(kind.api_version, kind.kind) is not kind:
                catalogue.add(kind)

    def _of_group(self, definition: Obj) -> list[Obj]:
        """The other definitions of its group."""
        group, name = definition["spec"]["group"], name_of(definition)
        return [
            one for one in self._definitions.values() if one["spec"]["group"] == group and name_of(one) != name
        ]

    # Conditions

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                await self._reconcile(name)
                self._queue.forget(name)
            except NotFound:
                pass  # it is gone
            except Conflict:
                self._queue.retry(name)
            except ApiError as error:
                log.info("customresourcedefinition %s: %s", name, error)
                self._queue.retry(name)
            except Exception:
                log.exception("customresourcedefinition %s failed", name)
                self._queue.retry(name)
            finally:
                self._queue.done(name)

    async def _reconcile(self, name: str) -> None:
        definition = self._definitions.get(name)
        if definition is None:
            return
        if is_deleting(definition):
            if CLEANUP in (definition["metadata"].get("finalizers") or ()):
                await self._finalize(definition)
            return
        status = naming.settled(definition, self._of_group(definition), self._clock.now())
        if status != definition.get("status"):
            await self._store(definition, status)
            for other in self._of_group(definition):
                if not condition_is(other, "NamesAccepted"):
                    self._queue.add(name_of(other))

    async def _store(self, definition: Obj, status: Obj, **metadata: object) -> Obj:
        body: Obj = copy({**definition, "status": status})
        body["metadata"] |= metadata
        entry, _ = await self._registry.update(
            CustomResourceDefinition, "", name_of(definition), body, _CONTEXT, "status"
        )
        return self._registry.decoded(entry)

    # The end

    async def _finalize(self, definition: Obj) -> None:
        """Remove the instances; once none is left, let the definition go."""
        name, step = name_of(definition), _NEVER
        if condition_is(definition, "Established"):
            if not condition_is(definition, "Terminating"):
                now = naming.terminating(definition, _IN_PROGRESS, self._clock.now())
                definition = await self._store(definition, now)
            storage, step = storage_of(definition), _COMPLETED
            await self._remove_instances(definition, storage)
            if self._registry.list(storage, "").entries:
                self._await_instances(name, storage)
                return
        if unfollow := self._waiting.pop(name, None):
            unfollow()
        left = [one for one in definition["metadata"].get("finalizers") or () if one != CLEANUP]
        status = naming.terminating(definition, step, self._clock.now())
        await self._store(definition, status, finalizers=left)

    async def _remove_instances(self, definition: Obj, storage: Kind) -> None:
        """Delete every instance; the definition tells why that fails. Errors: what the registry raises."""
        try:
            await self._registry.delete_collection(storage, "", ListOptions(), DeleteOptions(), _REMOVAL)
        except ApiError as error:
            what = "list instances" if isinstance(error, InternalError) else "issue all deletes"
            told = f"could not {what}: {error.message}"
            failed = naming.terminating(definition, (True, _FAILED, told), self._clock.now())
            if failed != definition.get("status"):
                await self._store(definition, failed)
            raise

    def _await_instances(self, name: str, storage: Kind) -> None:
        if name not in self._waiting:
            self._waiting[name] = self._registry.follow(
                storage, lambda obj: None, lambda last: self._queue.add(name)
            )


def _untold(definition: Obj) -> Obj:
    """A definition but for what is told here of its end: to hear of that would begin the end anew at once."""
    metadata = {**definition["metadata"], "resourceVersion": None, "managedFields": None}
    status = definition.get("status") or {}
    conditions = [one for one in status.get("conditions") or () if one["type"] != "Terminating"]
    return {**definition, "metadata": metadata, "status": {**status, "conditions": conditions}}


def _basis(definition: Obj) -> Obj:
    """What the served kinds depend on."""
    status = definition.get("status") or {}
    return {
        "spec": definition["spec"],
        "names": status.get("acceptedNames"),
        "established": condition_is(definition, "Established"),
        "terminating": condition_is(definition, "Terminating"),
    }


def _kept(made: tuple[Kind, ...], known: tuple[Kind, ...], before: Obj, now: Obj) -> tuple[Kind, ...]:
    """`made`, with those of `known` in the place of versions that nothing has changed."""
    if not known or {**before, "spec": None} != {**now, "spec": None} or not _same_but_versions(before, now):
        return made
    old = {one["name"]: one for one in before["spec"]["versions"]}
    new = {one["name"]: one for one in now["spec"]["versions"]}
    by_version = {kind.api_version: kind for kind in known}
    return tuple(
        by_version[kind.api_version]
        if kind.api_version in by_version and old.get(kind.version) == new[kind.version]
        else kind
        for kind in made
    )


def _same_but_versions(before: Obj, now: Obj) -> bool:
    """Whether the definition is the same but for versions that are not stored ones."""
    rest = ({**one["spec"], "versions": None} for one in (before, now))
    stored = ([v for v in one["spec"]["versions"] if v.get("storage")] for one in (before, now))
    return next(rest) == next(rest) and next(stored) == next(stored)
