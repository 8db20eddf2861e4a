"""Eviction (policy/v1): deleting a pod if its PodDisruptionBudget allows it.

A pod that does not run, or is going already, is deleted whatever its budget says. Of any other, the budget is
asked: a ready pod costs one of its disruptions, which is noted in the budget's status before the pod is
deleted. A pod that is not ready costs nothing where the budget's policy for unhealthy pods says so.
Source: "API-initiated eviction" of the Kubernetes documentation.
"""

from dataclasses import replace
from datetime import datetime

from minikube_py.errors import ApiError, BadRequest, Cause, Conflict, Forbidden, Timeout, TooManyRequests
from minikube_py.kinds.policy.disruptions import ALLOWED, selects, spent
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition,
    condition_is,
    copy,
    dig,
    is_deleting,
    name_of,
    revision_of,
    with_condition,
)
from minikube_py.registry import faults
from minikube_py.registry.base import Context, DeleteOptions
from minikube_py.registry.deletion import Deleter, delete_options
from minikube_py.registry.entries import decoded
from minikube_py.registry.metadata import check_delete_preconditions
from minikube_py.registry.pipeline import Pipeline, Write
from minikube_py.store.base import Entry, RevisionMismatch

RETRIES = 20
MAX_DISRUPTED = 2000
"""Evictions that the disruption controller has not seen yet; with more, a budget allows none."""
SECONDS_TO_WAIT = 10
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
_TARGET: Obj = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


class SeveralBudgets(ApiError):
    """More than one budget is about a pod; the API gives no reason word for it."""

    code = 500
    reason = ""

    def __init__(self) -> None:
        super().__init__(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )


def is_unprotected(pod: Obj) -> bool:
    """Whether no budget is asked: the pod does not run, or is being deleted."""
    return dig(pod, "status.phase") in ("Succeeded", "Failed", "Pending") or is_deleting(pod)


def is_free(pod: Obj, budget: Obj) -> bool:
    """Whether evicting the pod costs its budget nothing: it is not ready, and may go."""
    if condition_is(pod, "Ready"):
        return False
    if dig(budget, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = dig(budget, "status.desiredHealthy", 0)
    return bool(desired > 0 and dig(budget, "status.currentHealthy", 0) >= desired)


def check(budget: Obj) -> None:
    """Refuse where the budget allows no disruption. Errors: TooManyRequests, Forbidden."""
    status, name = budget.get("status") or {}, name_of(budget)
    allowed = status.get("disruptionsAllowed") or 0
    if (status.get("observedGeneration") or 0) < dig(budget, "metadata.generation", 0):
        raise _processing(name)
    why = ""
    if allowed < 0:
        why = "pdb disruptions allowed is negative"
    elif len(status.get("disruptedPods") or ()) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
    if why:
        details = {"name": name, "group": PodDisruptionBudget.group, "kind": "poddisruptionbudget"}
        raise Forbidden(f'poddisruptionbudget.policy "{name}" is forbidden: {why}', details=details)
    if not allowed:
        told = f"The disruption budget {name} {_refusal(budget)}"
        raise TooManyRequests(VIOLATED, causes=(Cause("DisruptionBudget", told),))


def _refusal(budget: Obj) -> str:
    """Why a budget allows no disruption: numbers say nothing where they could not be worked out."""
    status, verdict = budget.get("status") or {}, condition(budget, ALLOWED) or {}
    needs, has = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
    reason, why = verdict.get("reason") or "", verdict.get("message") or ""
    refused = bool(why) and verdict.get("status") == "False"
    if refused and reason == "SyncFailed":
        return f"does not allow evicting pods currently because it failed sync: {why}"
    if has <= needs:
        return f"needs {needs} healthy pods and has {has} currently"
    return "does not allow evicting pods currently" + (f" ({reason}): {why}" if refused else "")


def _processing(name: str) -> TooManyRequests:
    told = f"The disruption budget {name} is still being processed by the server."
    return TooManyRequests(VIOLATED, causes=(Cause("DisruptionBudget", told),), retry_after=SECONDS_TO_WAIT)


def _pinned(options: DeleteOptions, pod: Obj) -> DeleteOptions:
    """The options, for the pod just as it is, unless they ask for another state."""
    return replace(options, resource_version=options.resource_version or str(revision_of(pod)))


class Evictor:
    """Evicts pods."""

    def __init__(self, pipeline: Pipeline, deleter: Deleter) -> None:
        self._pipeline = pipeline
        self._deleter = deleter

    async def evict(self, write: Write, key: Key, body: Obj) -> None:
        """Delete the pod as the Eviction says. Errors: NotFound, BadRequest, Conflict, TooManyRequests."""
        if name_of(body) != key.name:
            raise BadRequest("name in URL does not match name in Eviction object")
        given = body.get("deleteOptions") or {}
        context = replace(write.context, dry_run=True) if given.get("dryRun") else write.context
        write, options = replace(write, context=context), delete_options(given)
        for _ in range(RETRIES):
            pod = decoded(self._pipeline.stored(write.kind, *key))
            if not is_unprotected(pod):
                return await self._ask(write, key, pod, options)
            pending = dig(pod, "status.phase") == "Pending" and not is_deleting(pod)
            try:
                return await self._delete(write, key, _pinned(options, pod) if pending else options)
            except Conflict:
                if options.resource_version:
                    raise
        raise faults.conflict(write.kind, key.name)

    async def _ask(self, write: Write, key: Key, pod: Obj, options: DeleteOptions) -> None:
        """Delete a running pod, if its budget (where it has one) allows it."""
        budgets = [found for found in map(decoded, self._budgets(key)) if selects(found, pod)]
        if len(budgets) > 1:
            raise SeveralBudgets
        if not budgets or not is_free(pod, budgets[0]):
            for budget in budgets:
                await self._spend(Key(key.namespace, name_of(budget)), key.name, write.context)
            await self._delete(write, key, options)
            return
        try:
            await self._delete(write, key, _pinned(options, pod))  # it must not have become ready since
        except Conflict as error:
            if options.resource_version:
                raise
            raise _processing(name_of(budgets[0])) from error

    def _budgets(self, key: Key) -> list[Entry]:
        return list(self._pipeline.store.list(PodDisruptionBudget.prefix(key.namespace)).entries)

    async def _spend(self, budget: Key, pod: str, context: Context) -> None:
        """Take one disruption off the budget. Errors: TooManyRequests, Forbidden, NotFound, Timeout."""
        for _ in range(RETRIES):
            entry = self._pipeline.stored(PodDisruptionBudget, *budget)
            stored = decoded(entry)
            check(stored)
            changed = {**copy(stored), "status": spent(stored, pod, self._pipeline.clock.now())}
            try:
                await self._pipeline.put(PodDisruptionBudget, entry, changed, dry_run=context.dry_run)
                return
            except RevisionMismatch:
                continue
        told = f'couldn\'t update PodDisruptionBudget "{budget.name}" due to conflicts'
        raise Timeout(f"Timeout: {told}", retry_after=SECONDS_TO_WAIT)

    async def _delete(self, write: Write, key: Key, options: DeleteOptions) -> None:
        """Note on the pod that it is evicted, then delete it. Errors: Conflict, NotFound."""
        if not write.context.dry_run:
            revision = await self._note(write, key, options)
            if options.resource_version:
                options = replace(options, resource_version=str(revision))
        admitted = replace(write.context, admitted=True)  # the eviction was judged, not the deletion that it is
        await self._deleter.delete(replace(write, context=admitted, subresource=""), key, options)

    async def _note(self, write: Write, key: Key, options: DeleteOptions) -> int:
        """The revision of the pod once its DisruptionTarget condition is set."""
        for _ in range(RETRIES):
            entry = self._pipeline.stored(write.kind, *key)
            pod = decoded(entry)
            check_delete_preconditions(write.kind, pod["metadata"], options.uid, options.resource_version)
            if condition_is(pod, _TARGET["type"]):
                return entry.revision
            noted = evicted(pod, self._pipeline.clock.now())
            try:
                return (await self._pipeline.put(write.kind, entry, noted, dry_run=False)).revision
            except RevisionMismatch:
                continue
        raise faults.conflict(write.kind, key.name)


def evicted(pod: Obj, now: datetime) -> Obj:
    """A copy of the pod with the condition that says why it goes."""
    noted: Obj = copy(pod)
    status = noted.setdefault("status", {})
    status["conditions"] = with_condition(status.get("conditions") or (), dict(_TARGET), now)
    return noted
