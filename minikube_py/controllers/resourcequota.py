"""ResourceQuota controller: the status of each quota says what is allowed and what is used.

Admission charges what is created; here usage is counted when a quota is new or changes, when counted objects go
or come to use less, and once more RECOUNT seconds after the last charge, for charges whose write failed. Only
kinds that some quota names are followed; nothing runs while nothing changes. What an object uses is remembered
until it changes, so that counting again is adding up.
Limits: counting and writing are one step only where the cache shows writes at once (the local client).
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.kinds.core.resourcequota import ResourceQuota
from minikube_py.kinds.quota.bounds import Bounds, bounds_of, measure
from minikube_py.kinds.quota.evaluators import Evaluator, evaluator_of
from minikube_py.meta.amounts import Amounts, same
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, is_deleting, key_of, namespace_of, uid_of

SOON = 0.02
"""Seconds in which deletions are gathered into one count."""
RECOUNT = 5.0
AT_ONCE = 200
"""Objects measured before others have their turn."""


class Measured:
    """What objects use, remembered by version."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Amounts]] = {}

    def usage(self, evaluator: Evaluator, obj: Obj, now: datetime) -> Amounts:
        """What an object uses at `now`."""
        if is_deleting(obj):  # it may use less as time passes
            return evaluator.usage(obj, now)
        uid, version = uid_of(obj), obj["metadata"].get("resourceVersion", "")
        known = self._known.get(uid)
        if known is None or known[0] != version:
            known = self._known[uid] = version, evaluator.usage(obj, now)
        return known[1]

    def forget(self, obj: Obj) -> None:
        """An object is gone."""
        self._known.pop(uid_of(obj), None)


class ResourceQuotaController(Controller):
    """Count what quotas limit."""

    name: ClassVar[str] = "resourcequota-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._measured = Measured()
        self._bounds: dict[Key, Bounds] = {}

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {ResourceQuota: self._quota_changed}

    def _quota_changed(self, change: Change) -> Iterable[Key]:
        key = key_of(change.object)
        if change.type == "DELETED":
            self._bounds.pop(key, None)
            return ()
        self._bounds[key] = bounds_of(change.object)
        if change.old is None or change.object.get("spec") != change.old.get("spec"):
            return (key,)
        if change.object.get("status") != change.old.get("status"):
            self.queue.add_after(key, RECOUNT)
        return ()

    def _counted_changed(self, change: Change) -> Iterable[Key]:
        """Count again, soon, for the quotas that an object which went or shrank belongs to."""
        namespace, resource = namespace_of(change.object), change.kind.resource
        if change.type == "DELETED":
            self._measured.forget(change.object)
        keys = [k for k, b in self._bounds.items() if k.namespace == namespace and resource in b.names]
        if keys and (change.type == "DELETED" or self._shrank(change)):
            for key in keys:
                self.queue.add_after(key, SOON)
        return ()

    def _shrank(self, change: Change) -> bool:
        evaluator, old = evaluator_of(change.kind.resource), change.old
        if old is None or (
            old.get("spec") == change.object.get("spec") and _phase(old) == _phase(change.object)
        ):
            return False
        now = self.clock.now()
        return not same(evaluator.usage(change.object, now), evaluator.usage(old, now))

    def _follow(self, bounds: Bounds) -> dict[str, Kind]:
        """The kinds that the quota counts, by resource; each is followed from now on."""
        served = {kind.resource: kind for kind in self.clients.kinds() if kind.namespaced}
        found = {resource: served[resource] for resource in bounds.names if resource in served}
        for resource, kind in found.items():
            if resource not in self._followed:
                self._followed[resource] = kind
                self.subscribe(kind, self._counted_changed)
        return found

    async def reconcile(self, key: Key) -> float | None:
        quota = self.cache.get(ResourceQuota, key)
        if quota is None or is_deleting(quota):
            return None
        bounds = bounds_of(quota)
        kinds = self._follow(bounds)
        await self._measure_slowly(bounds, kinds, key.namespace)
        quota = self.cache.get(ResourceQuota, key)
        if quota is None or bounds_of(quota) != bounds:
            return None  # its change has enqueued it again
        objects = {resource: self.cache.list(kind, key.namespace) for resource, kind in kinds.items()}
        used = measure(bounds, objects, self.clock.now(), self._measured.usage)
        status = quota.get("status") or {}
        if not same(status.get("used") or {}, used) or not same(status.get("hard") or {}, bounds.hard):
            await self.set_status(ResourceQuota, quota, {**status, "hard": bounds.hard, "used": used})
        return None

    async def _measure_slowly(self, bounds: Bounds, kinds: Mapping[str, Kind], namespace: str) -> None:
        """Measure each object, with pauses, so that the count itself is short."""
        now, done = self.clock.now(), 0
        for resource, kind in kinds.items():
            evaluator = evaluator_of(resource)
            for obj in self.cache.list(kind, namespace):
                self._measured.usage(evaluator, obj, now)
                done += 1
                if done % AT_ONCE == 0:
                    await asyncio.sleep(0)


def _phase(obj: Obj) -> str:
    return str((obj.get("status") or {}).get("phase"))
