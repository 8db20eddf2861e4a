"""Disruption controller: keeps the status of each PodDisruptionBudget, which says whether a pod may be evicted.

Evictions note in the budget which pods they are about to delete; until those are gone, or two minutes have
passed, they do not count as healthy. What cannot be counted allows no disruption.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.client.events import EventRecorder
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.deployments.rolling import resolve
from minikube_py.controllers.pods import is_ready
from minikube_py.controllers.selected import POD_LABELS, selected_pods
from minikube_py.controllers.shown import shown_selector
from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.replicationcontroller import ReplicationController
from minikube_py.kinds.policy.disruptions import ALLOWED, selector_of, selects, with_verdict
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    parse_time,
    with_condition,
)

DELETION_TIMEOUT = timedelta(minutes=2)
"""How long a pod that is to be evicted may take until its deletion begins."""
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for "
    'these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


@dataclass(frozen=True, slots=True)
class Scales:
    """How many pods the controllers of some pods want, by the controller's uid; and pods that have none."""

    replicas: Mapping[str, int] = field(default_factory=dict)
    unmanaged: Sequence[str] = ()

    @property
    def total(self) -> int:
        return sum(self.replicas.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """The status to store, the pods that were to be deleted and were not, and the seconds until a pod's time
    is over."""

    status: Obj
    late: Sequence[Obj] = ()
    again: float | None = None


def needs_scales(budget: Obj) -> bool:
    """Whether the budget is a share of what the pods' controllers want."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def expected(budget: Obj, pods: Sequence[Obj], scales: Scales) -> tuple[int, int]:
    """How many pods there should be, and how many of them must be healthy."""
    spec = budget.get("spec") or {}
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None:
        return scales.total, max(0, scales.total - resolve(most, scales.total, round_up=True))
    if isinstance(least, int):
        return len(pods), least
    return (scales.total, resolve(least, scales.total, round_up=True)) if least is not None else (0, 0)


def plan(budget: Obj, pods: Sequence[Obj], scales: Scales, now: datetime) -> Plan:
    """What the status of `budget` becomes with the `pods` that it selects."""
    noted = dig(budget, "status.disruptedPods") or {}
    disrupted: dict[str, str] = {}
    late: list[Obj] = []
    for pod in pods:
        if (since := noted.get(name_of(pod))) is None or is_deleting(pod):
            continue
        if parse_time(since) + DELETION_TIMEOUT < now:
            late.append(pod)
        else:
            disrupted[name_of(pod)] = since
    healthy = sum(is_ready(pod) and not is_deleting(pod) and name_of(pod) not in disrupted for pod in pods)
    count, needed = expected(budget, pods, scales)
    status: Obj = {
        "currentHealthy": healthy,
        "desiredHealthy": needed,
        "disruptionsAllowed": max(0, healthy - needed) if count > 0 else 0,
        "expectedPods": count,
        "observedGeneration": dig(budget, "metadata.generation", 0),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    status["conditions"] = with_verdict(dig(budget, "status.conditions", ()), status, now)
    ends = [(parse_time(since) + DELETION_TIMEOUT - now).total_seconds() for since in disrupted.values()]
    return Plan(status, late, min(ends, default=None))


def failed(budget: Obj, why: str, now: datetime) -> Obj:
    """The status of a budget that could not be worked out: nothing is allowed."""
    status = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
    verdict = {
        "type": ALLOWED,
        "status": "False",
        "reason": "SyncFailed",
        "message": why,
        "observedGeneration": status.get("observedGeneration") or 0,
    }
    return status | {"conditions": with_condition(status.get("conditions") or (), verdict, now)}


def _told(pod: Obj) -> tuple[object, ...]:
    """All of a pod that a budget depends on."""
    owner = controller_of(pod) or {}
    return labels_of(pod), is_ready(pod), is_deleting(pod), owner.get("uid"), pod["metadata"].get("uid")


class Unknown(Exception):
    """The scale of a pod's controller cannot be found."""


class DisruptionController(Controller):
    """Keep the status of each PodDisruptionBudget."""

    name: ClassVar[str] = "disruption-controller"
    reconciles = PodDisruptionBudget

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.events = EventRecorder(self.client, context.clock, "controllermanager")  # as kubectl users know it

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (POD_LABELS,)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            Pod: self._of_pod,
            **dict.fromkeys((Deployment, ReplicaSet, StatefulSet, ReplicationController), self._of_owner),
        }

    def _of_pod(self, change: Change) -> Iterable[Key]:
        """The budgets that select the pod now, or did before, where it makes a difference to them."""
        if change.keeps(_told):
            return
        states = [state for state in (change.object, change.old) if state is not None]
        for budget in self.cache.list(PodDisruptionBudget, namespace_of(change.object)):
            if any(selects(budget, state) for state in states):
                yield key_of(budget)

    def _of_owner(self, change: Change) -> Iterable[Key]:
        """The budgets whose share may be another one now: those that select its template's pods."""
        now, old = change.object, change.old
        if old is not None and dig(now, "spec.replicas") == dig(old, "spec.replicas"):
            return
        template = {"metadata": {"labels": dig(now, "spec.template.metadata.labels") or {}}}
        for budget in self.cache.list(PodDisruptionBudget, namespace_of(now)):
            if needs_scales(budget) and selects(budget, template):
                yield key_of(budget)

    async def reconcile(self, key: Key) -> float | None:
        budget = self.cache.get(PodDisruptionBudget, key)
        if budget is None or is_deleting(budget):
            return None
        pods = selected_pods(self.cache, key.namespace, selector_of(budget))
        if not pods:
            self.events.record(budget, "Normal", "NoPods", "No matching pods found")
        try:
            scales = self._scales(pods) if needs_scales(budget) else Scales()
        except Unknown as error:
            told = f"Failed to calculate the number of expected pods: {error}"
            self.events.record(budget, "Warning", "CalculateExpectedPodCountFailed", told)
            await self.set_status(PodDisruptionBudget, budget, failed(budget, str(error), self.clock.now()))
            return None
        if scales.unmanaged:
            told = UNMANAGED.format(shown_selector(dig(budget, "spec.selector") or {}))
            self.events.record(budget, "Warning", "UnmanagedPods", told)
        wanted = plan(budget, pods, scales, self.clock.now())
        for pod in wanted.late:
            told = f"Pod was expected by PDB {key} to be deleted but it wasn't"
            self.events.record(pod, "Warning", "NotDeleted", told)
        await self.set_status(PodDisruptionBudget, budget, wanted.status)
        return wanted.again

    def _scales(self, pods: Sequence[Obj]) -> Scales:
        """What the controllers of `pods` want. Errors: Unknown."""
        replicas: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            ref = controller_of(pod)
            if ref is None:
                unmanaged.append(name_of(pod))
            elif ref["uid"] not in replicas:
                found = self._scale(namespace_of(pod), ref)
                if found is None:
                    raise Unknown(f'found no controllers for pod "{name_of(pod)}"')
                uid, wanted = found
                replicas[ref["uid"]] = 0  # counted under the one that has the say
                replicas[uid] = wanted
        return Scales(replicas, unmanaged)

    def _scale(self, namespace: str, ref: Obj) -> tuple[str, int] | None:
        """The uid of whom a reference makes responsible, and the replicas it wants; None where it is gone.
        Errors: Unknown."""
        kind = next(
            (
                one
                for one in self.clients.kinds()
                if one.kind == ref.get("kind") and one.group == ref.get("apiVersion", "").rpartition("/")[0]
            ),
            None,
        )
        if kind is None:
            return None
        if "scale" not in kind.subresources:
            raise Unknown(f"{kind.resource} does not implement the scale subresource")
        owner = self.cache.get(kind.stored, Key(namespace, ref.get("name", "")))
        if owner is None or dig(owner, "metadata.uid") != ref.get("uid"):
            return None
        above = controller_of(owner)
        if kind.resource == ReplicaSet.resource and above is not None and above.get("kind") == Deployment.kind:
            return self._scale(namespace, above)
        return ref["uid"], dig(owner, kind.scale.spec, 0)
