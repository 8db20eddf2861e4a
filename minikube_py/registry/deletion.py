"""DELETE: grace periods, finalizers, propagation and preconditions.

`plan_deletion` is the pure decision; `Deleter` carries it out. Semantics are those of the API's garbage
collection and pod termination documents: an object with finalizers, or a running pod with a grace period, is
only marked, and goes when the last of them is done.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from minikube_py.errors import BadRequest, NotFound
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    copy,
    key_of,
    parse_time,
    timestamp,
    with_condition,
)
from minikube_py.registry import faults
from minikube_py.registry.base import Attributes, DeleteOptions, Deletion
from minikube_py.registry.entries import decoded
from minikube_py.registry.metadata import check_delete_preconditions
from minikube_py.registry.namespaces import RESOURCE as NAMESPACES
from minikube_py.registry.pipeline import Pipeline, Write
from minikube_py.store.base import Entry, RevisionMismatch

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that holds a CustomResourceDefinition until its instances are gone."""
POLICIES = ("", "Background", "Foreground", "Orphan")
ORPHANED = (
    "child pods are preserved by default when {} are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)
AT_ONCE = 64
"""Objects of a collection that are deleted concurrently, so that the store commits them together."""
RETRIES = 10


class Step(Enum):
    """What a deletion does now."""

    REMOVE = "remove"
    MARK = "mark"
    WAIT = "wait"  # its deletion is under way; nothing changes


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """The step, and the object to store (MARK) or to show as the last state (REMOVE)."""

    step: Step
    object: Obj


def check_options(options: DeleteOptions) -> None:
    """Refuse contradictory options. Errors: BadRequest."""
    if options.propagation not in POLICIES:
        raise BadRequest(
            f'invalid DeleteOptions: propagationPolicy: Unsupported value: "{options.propagation}": '
            'supported values: "Foreground", "Background", "Orphan"'
        )
    if options.propagation and options.orphan_dependents is not None:
        raise BadRequest(
            "invalid DeleteOptions: propagationPolicy: Invalid value: "
            f'"{options.propagation}": orphanDependents and deletionPropagation cannot be both set'
        )


def pod_grace(pod: Obj, asked: int | None) -> int:
    """Seconds until the pod is gone: the request's or the pod's own; 0 where no kubelet runs it."""
    spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    own = spec.get("terminationGracePeriodSeconds")
    period = asked if asked is not None else own if own is not None else 0
    return period if period >= 0 else 1


def collected_finalizers(kind: Kind, meta: Obj, options: DeleteOptions) -> list[str]:
    """The finalizers, with the garbage collector's two as the propagation, or else the kind, asks for."""
    before = list(meta.get("finalizers") or ())
    if options.orphan_dependents is not None:
        orphan, foreground = options.orphan_dependents, False
    elif options.propagation:
        orphan, foreground = options.propagation == "Orphan", options.propagation == "Foreground"
    else:
        foreground = FOREGROUND in before
        orphan = ORPHAN in before or (kind.orphans and not foreground)
    kept = [name for name in before if name not in (ORPHAN, FOREGROUND)]
    return kept + ([ORPHAN] if orphan else []) + ([FOREGROUND] if foreground else [])


def plan_deletion(kind: Kind, stored: Obj, options: DeleteOptions, now: datetime) -> DeletionPlan:
    """What deleting `stored` means now; `stored` is not changed."""
    obj = copy(stored)
    meta = obj["metadata"]
    if kind.resource == NAMESPACES:
        return _plan_namespace(kind, obj, options, now)
    if kind.resource == DEFINITIONS and "deletionTimestamp" not in meta:
        return _plan_definition(obj, now)
    graceful = kind.resource == "pods"
    if graceful and "deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds"):
        return _shorten(kind, obj, options)
    _set_finalizers(meta, collected_finalizers(kind, meta, options))
    period = pod_grace(obj, options.grace_period) if graceful else 0
    held = bool(period or meta.get("finalizers"))
    if held or graceful:
        _mark(meta, period, now)
    if not held:
        return DeletionPlan(Step.REMOVE, obj)
    return DeletionPlan(Step.MARK if obj != stored else Step.WAIT, obj)


def _plan_namespace(kind: Kind, obj: Obj, options: DeleteOptions, now: datetime) -> DeletionPlan:
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta:
        _set_finalizers(meta, collected_finalizers(kind, meta, options))
        meta["deletionTimestamp"] = timestamp(now)
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        if not meta.get("finalizers") and not (obj.get("spec") or {}).get("finalizers"):
            return DeletionPlan(Step.REMOVE, obj)
        return DeletionPlan(Step.MARK, obj)
    held = meta.get("finalizers") or (obj.get("spec") or {}).get("finalizers")
    return DeletionPlan(Step.WAIT if held else Step.REMOVE, obj)


def _plan_definition(obj: Obj, now: datetime) -> DeletionPlan:
    """A CustomResourceDefinition is only marked: its instances go first."""
    meta = obj["metadata"]
    meta["deletionTimestamp"] = timestamp(now)
    meta["finalizers"] = [*(meta.get("finalizers") or ()), CLEANUP]
    told = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    pending = {"type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "message": told}
    status = obj.setdefault("status", {})
    status["conditions"] = with_condition(status.get("conditions") or (), pending, now)
    return DeletionPlan(Step.MARK, obj)


def _shorten(kind: Kind, obj: Obj, options: DeleteOptions) -> DeletionPlan:
    """A pod that is terminating: its grace period may only be shortened."""
    meta = obj["metadata"]
    current = meta["deletionGracePeriodSeconds"]
    if options.grace_period is None or pod_grace(obj, options.grace_period) >= current:
        return DeletionPlan(Step.WAIT, obj)
    period = pod_grace(obj, options.grace_period)
    ends = parse_time(meta["deletionTimestamp"]) + timedelta(seconds=period - current)
    meta["deletionTimestamp"] = timestamp(ends)
    meta["deletionGracePeriodSeconds"] = period
    _set_finalizers(meta, collected_finalizers(kind, meta, options))
    held = bool(period or meta.get("finalizers"))
    return DeletionPlan(Step.MARK if held else Step.REMOVE, obj)


def _set_finalizers(meta: Obj, finalizers: list[str]) -> None:
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _mark(meta: Obj, period: int, now: datetime) -> None:
    if "deletionTimestamp" in meta:
        return
    meta["deletionTimestamp"] = timestamp(now + timedelta(seconds=period))
    meta["deletionGracePeriodSeconds"] = period
    if meta.get("generation"):
        meta["generation"] += 1


class Deleter:
    """Deletes objects and collections."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def delete(self, write: Write, key: Key, options: DeleteOptions) -> Deletion:
        """Delete one object, now or by marking it. Errors: NotFound, Conflict, BadRequest, what admission
        raises."""
        check_options(options)
        kind, context = write.kind, write.context
        if kind.orphans and not options.propagation and options.orphan_dependents is None:
            context.warnings.append(ORPHANED.format(kind.plural))
        for _ in range(RETRIES):
            stored = self._pipeline.stored(kind, *key)
            entry = await self._pipeline.versions.shown(kind, stored)
            try:
                return await self._delete(write, entry, options)
            except RevisionMismatch:
                continue
        raise faults.conflict(kind, key.name)

    async def _delete(self, write: Write, entry: Entry, options: DeleteOptions) -> Deletion:
        pipeline, stored = self._pipeline, decoded(entry)
        kind, context = write.kind, write.context
        check_delete_preconditions(kind, stored["metadata"], options.uid, options.resource_version)
        request = Attributes(
            "DELETE",
            kind,
            *key_of(stored),
            None,
            stored,
            context,
            options=_as_json(options),
            requested=write.requested,
        )
        if not context.admitted:
            await pipeline.admission.mutate(request)
            await pipeline.admission.validate(request)
        plan = plan_deletion(kind, stored, options, pipeline.clock.now())
        if plan.step is Step.WAIT:
            return Deletion(entry, gone=False)
        if plan.step is Step.MARK:
            return Deletion(await pipeline.put(kind, entry, plan.object, dry_run=context.dry_run), gone=False)
        return Deletion(await pipeline.remove(kind, entry, plan.object, dry_run=context.dry_run), gone=True)

    async def delete_all(self, write: Write, entries: Sequence[Entry], options: DeleteOptions) -> list[Entry]:
        """Delete objects; what each deletion left. Those that another deletes first are passed over."""
        check_options(options)
        done: list[Entry] = []
        for start in range(0, len(entries), AT_ONCE):
            chunk = [self._one_of(write, entry, options) for entry in entries[start : start + AT_ONCE]]
            done += [entry for entry in await asyncio.gather(*chunk) if entry is not None]
        return done

    async def _one_of(self, write: Write, entry: Entry, options: DeleteOptions) -> Entry | None:
        try:
            deletion = await self.delete(write, key_of(decoded(entry)), options)
        except NotFound:
            return None
        return deletion.entry


def _as_json(options: DeleteOptions) -> Obj:
    given: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if options.grace_period is not None:
        given["gracePeriodSeconds"] = options.grace_period
    if options.propagation:
        given["propagationPolicy"] = options.propagation
    preconditions = {"uid": options.uid, "resourceVersion": options.resource_version}
    if any(preconditions.values()):
        given["preconditions"] = {key: value for key, value in preconditions.items() if value}
    return given


def delete_options(body: Obj) -> DeleteOptions:
    """The options that a DeleteOptions object (v1) carries."""
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace_period=body.get("gracePeriodSeconds"),
        propagation=body.get("propagationPolicy") or "",
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        orphan_dependents=body.get("orphanDependents"),
    )
