"""HorizontalPodAutoscaler controller: scales workloads by what is measured of them, every 15 seconds."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.autoscaling.behavior import Decision, History, Moment, decide, remembered
from minikube_py.controllers.autoscaling.metrics import Judged, Target, failure, judge
from minikube_py.controllers.autoscaling.replicas import NotMeasured, Workload
from minikube_py.controllers.autoscaling.selection import NotSelected, check_alone, selector_and_text
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.selected import POD_LABELS, pods_near
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    dig,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    timestamp,
    uid_of,
    with_condition,
)
from minikube_py.meta.selectors import Selector

LONG_SELECTOR = 8192  # characters from which on a selector is read in a thread
LOOKS = 20_000  # requirements that are looked at before others have their turn
SYNC_PERIOD = 15.0
"""Seconds between two looks at an autoscaler."""

Condition = tuple[str, str, str, str]
"""Type, status, reason, message."""
Failed = tuple[str, str, str]
"""What a metric that could not be read leads to: the reason, why it could not, and words in front of that."""


class HorizontalPodAutoscalerController(Controller):
    """Keep each target's replicas where its metrics want them."""

    name: ClassVar[str] = "horizontal-pod-autoscaler"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._histories: dict[str, History] = {}  # by the autoscaler's uid
        self._selectors: dict[Key, Selector] = {}  # by the autoscaler's key

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (POD_LABELS,)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {HorizontalPodAutoscaler: self._changed}

    def _changed(self, change: Change) -> Iterable[Key]:
        """The autoscaler, unless only its status has changed."""
        if change.type == "DELETED":
            self._histories.pop(uid_of(change.object), None)
            self._selectors.pop(key_of(change.object), None)
        return () if change.keeps(itemgetter("spec")) else (key_of(change.object),)

    async def reconcile(self, key: Key) -> float | None:
        autoscaler = self.cache.get(HorizontalPodAutoscaler, key)
        if autoscaler is None:
            return None
        status = dict(autoscaler.get("status") or {})
        conditions = list(status.get("conditions") or ())
        try:
            kind, target = self._target(autoscaler)
        except ApiError as error:
            self.events.record(autoscaler, "Warning", "FailedGetScale", str(error))
            told = f"the HPA controller was unable to get the target's current scale: {error}"
            conditions = self._with(conditions, [("AbleToScale", "False", "FailedGetScale", told)])
        else:
            status, conditions = await self._scale(autoscaler, (kind, target), status, conditions)
        if conditions:
            status["conditions"] = conditions
        await self.set_status(HorizontalPodAutoscaler, autoscaler, status)
        return SYNC_PERIOD

    def _with(self, conditions: list[Obj], new: Sequence[Condition]) -> list[Obj]:
        for type, status, reason, message in new:
            entry = {"type": type, "status": status, "reason": reason, "message": message}
            conditions = with_condition(conditions, entry, self.clock.now())
        return conditions

    def _target(self, autoscaler: Obj) -> tuple[Kind, Obj]:
        """The kind and the object that is scaled. Errors: NotFound."""
        ref = autoscaler["spec"]["scaleTargetRef"]
        kind = self._kind(ref)
        if kind is None or "scale" not in kind.subresources:
            group = ref.get("apiVersion", "").rpartition("/")[0]
            raise NotFound(f'no matches for kind "{ref["kind"]}" in group "{group}"')
        found = self.cache.get(kind, Key(namespace_of(autoscaler), ref["name"]))
        if found is None:
            resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
            raise NotFound(f'{resource} "{ref["name"]}" not found')
        return kind, found

    def _kind(self, ref: Obj) -> Kind | None:
        """The kind served that a reference names: its own version, or another one of its group."""
        group = ref.get("apiVersion", "").rpartition("/")[0]
        known = [k for k in self.clients.kinds() if k.kind == ref.get("kind") and k.group == group]
        return next((k for k in known if k.api_version == ref.get("apiVersion")), next(iter(known), None))

    async def _scale(
        self, autoscaler: Obj, scaled: tuple[Kind, Obj], status: Obj, conditions: list[Obj]
    ) -> tuple[Obj, list[Obj]]:
        """Scale the target where that is due; the status and its conditions."""
        kind, target = scaled
        current = int(dig(target, kind.scale.spec, 0))
        status["currentReplicas"] = current
        first = Moment(self.clock.now(), current)  # so that what is not known yet does not scale down at once
        self._histories.setdefault(uid_of(autoscaler), History([first]))
        got = "the HPA controller was able to get the target's current scale"
        conditions = self._with(conditions, [("AbleToScale", "True", "SucceededGetScale", got)])
        least, most = int(dig(autoscaler, "spec.minReplicas", 1)), int(dig(autoscaler, "spec.maxReplicas", 1))
        wanted, reason = current, ""
        before, status["currentMetrics"] = status.get("currentMetrics"), None
        if current == 0 and least != 0:
            told = "scaling is disabled since the replica count of the target is zero"
            conditions = self._with(conditions, [("ScalingActive", "False", "ScalingDisabled", told)])
        elif current > most:
            wanted, reason = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            wanted, reason = least, "Current number of replicas below Spec.MinReplicas"
        else:
            status["currentMetrics"] = before
            found = await self._measure(autoscaler, scaled, status)
            conditions = self._with(conditions, found[1])
            if found[0] is None:
                return status, conditions
            decision, reason = found[0]
            wanted = decision.replicas
            able, limited = ("AbleToScale", *decision.able), ("ScalingLimited", *decision.limited)
            conditions = self._with(conditions, [able, limited])
        status["desiredReplicas"] = wanted
        if wanted != current:
            conditions = self._with(conditions, await self._rescale(autoscaler, scaled, wanted, reason))
            status["lastScaleTime"] = timestamp(self.clock.now())
        return status, conditions

    async def _rescale(
        self, autoscaler: Obj, scaled: tuple[Kind, Obj], wanted: int, reason: str
    ) -> Sequence[Condition]:
        kind, target = scaled
        current = int(dig(target, kind.scale.spec, 0))
        meta = {"name": name_of(target), "namespace": namespace_of(target)}
        scale = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": meta,
            "spec": {"replicas": wanted},
        }
        try:
            await self.client.update(kind, scale, subresource="scale")
        except ApiError as error:
            message = f"New size: {wanted}; reason: {reason}; error: {error}"
            self.events.record(autoscaler, "Warning", "FailedRescale", message)
            told = f"the HPA controller was unable to update the target scale: {error}"
            return [("AbleToScale", "False", "FailedUpdateScale", told)]
        self.events.record(autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
        known, now = self._histories.get(uid_of(autoscaler), History()), self.clock.now()
        moved = Moment(now, abs(wanted - current))
        if wanted > current:
            known = replace(known, ups=[*known.ups, moved])
        else:
            known = replace(known, downs=[*known.downs, moved])
        self._histories[uid_of(autoscaler)] = known
        told = f"the HPA controller was able to update the target scale to {wanted}"
        return [("AbleToScale", "True", "SucceededRescale", told)]

    async def _measure(
        self, autoscaler: Obj, scaled: tuple[Kind, Obj], status: Obj
    ) -> tuple[tuple[Decision, str] | None, Sequence[Condition]]:
        """What all metrics together ask for and why (None: nothing can be said), and the condition of that;
        status.currentMetrics is set."""
        kind, target = scaled
        try:
            about = await self._about(autoscaler, kind, target)
        except NotSelected as error:
            status["currentMetrics"] = None
            self.events.record(autoscaler, "Warning", error.event, str(error))
            self.events.record(autoscaler, "Warning", "FailedComputeMetricsReplicas", str(error))
            return None, [("ScalingActive", "False", error.reason, error.told)]
        judged, failures, status["currentMetrics"] = await self._judge_all(autoscaler, about)
        best = max(judged, key=lambda found: found.proposal.replicas, default=None)
        current = about.workload.replicas
        if best is None or (failures and best.proposal.replicas < current):
            return None, [self._failed(autoscaler, failures)]
        now = self.clock.now()
        known = remembered(self._histories.get(uid_of(autoscaler), History()), autoscaler, now)
        decision = decide(autoscaler, current, best.proposal.replicas, known, now)
        seen = Moment(now, best.proposal.replicas)
        self._histories[uid_of(autoscaler)] = replace(known, recommendations=[*known.recommendations, seen])
        above = best.proposal.replicas > current
        reason = f"{best.name} above target" if above else "All metrics below target"
        told = f"the HPA was able to successfully calculate a replica count from {best.name}"
        return (decision, reason), [("ScalingActive", "True", "ValidMetricFound", told)]

    async def _about(self, autoscaler: Obj, kind: Kind, target: Obj) -> Target:
        if len(dig(target, kind.scale.selector or "", "")) > LONG_SELECTOR:
            selector, told = await asyncio.to_thread(selector_and_text, kind, target)
        else:
            selector, told = selector_and_text(kind, target)
        self._selectors[key_of(autoscaler)] = selector
        namespace, pods = namespace_of(target), []
        some = max(1, LOOKS // max(1, len(selector.requirements)))
        for number, pod in enumerate(pods_near(self.cache, namespace, selector), 1):
            if selector.matches(labels_of(pod)):
                pods.append(pod)
            if number % some == 0:
                await asyncio.sleep(0)  # many pods, or a long selector, let others have their turn
        check_alone(key_of(autoscaler), self._selectors, pods)
        replicas, seen = dig(target, kind.scale.spec, 0), dig(target, kind.scale.status, 0)
        return Target(
            namespace,
            told,
            Workload(pods, int(replicas), int(seen), self.clock.now()),
            self._resource_of,
        )

    def _resource_of(self, ref: Obj) -> str:
        kind = self._kind(ref)
        if kind is None:
            raise NotMeasured(f'unable to find the resource of kind "{ref.get("kind")}"')
        return f"{kind.plural}.{kind.group}" if kind.group else kind.plural

    async def _judge_all(self, autoscaler: Obj, about: Target) -> tuple[list[Judged], list[Failed], list[Obj]]:
        """What each metric proposes, what could not be read and is told in events, and the status of each."""
        judged, failures, statuses = [], [], []
        for metric in autoscaler["spec"]["metrics"]:
            try:
                if self.config.read is None:
                    raise NotMeasured("no metrics API is served")
                judged.append(await judge(self.config.read, metric, about))
                statuses.append(judged[-1].status)
            except NotMeasured as error:
                reason, words = failure(metric)
                self.events.record(autoscaler, "Warning", reason, str(error))
                failures.append((reason, str(error), words))
                statuses.append({"type": ""})  # so that the others stay in their places
        return judged, failures, statuses

    def _failed(self, autoscaler: Obj, failures: Sequence[Failed]) -> Condition:
        """The condition where metrics are missing, told in an event too."""
        reason, first, words = failures[0]
        total = len(autoscaler["spec"]["metrics"])
        message = f"invalid metrics ({len(failures)} invalid out of {total}), first error is: {words}{first}"
        self.events.record(autoscaler, "Warning", "FailedComputeMetricsReplicas", message)
        told = f"the HPA was unable to compute the replica count: {first}"
        return "ScalingActive", "False", reason, told
