"""kube-scheduler: gives each pod without a node the node that suits it best.

Decisions are made one after the other on a snapshot that already counts what was decided before; bindings
are written concurrently, and the store makes one commit of many. A binding that fails gives the node's room
back, and the pod is tried again. A pod that no node takes may make less urgent ones give way.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import STRATEGIC_PATCH, Client
from minikube_py.client.events import EventRecorder
from minikube_py.errors import ApiError, Conflict, NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, condition, dig, is_deleting, timestamp, uid_of
from minikube_py.scheduler import preemption
from minikube_py.scheduler.binding import Binder, VolumesNotBound
from minikube_py.scheduler.configuration import DEFAULT_NAME, Profile, plugins_of
from minikube_py.scheduler.cycle import Cycle, Placement, Unschedulable
from minikube_py.scheduler.devices.allocator import DevicePlan
from minikube_py.scheduler.devices.claims import plan_devices
from minikube_py.scheduler.framework import Reject
from minikube_py.scheduler.metrics import SCHEDULED, UNSCHEDULABLE, SchedulerMetrics
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.preemption import Candidate, Preemptor
from minikube_py.scheduler.queue import SchedulingQueue, Waiting
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.volumes import VolumePlan, plan_volumes, read_claims
from minikube_py.scheduler.watching import Watching, needs_node

log = logging.getLogger(__name__)

MAX_BINDINGS = 256
"""Bindings that are written at once."""
AT_ONCE = 2000
"""Nodes that are looked at before others have their turn on the loop."""
TRIED_AT_ONCE = 10
NOTE_LENGTH = 1024
"""Characters of an event's message."""


class Scheduler:
    """Schedules until cancelled."""

    name = "kube-scheduler"

    def __init__(self, client: Client, clock: Clock, profiles: Sequence[Profile] = (Profile(),)) -> None:
        self._client = client
        self._clock = clock
        self._profiles = {profile.name: profile for profile in profiles}
        self._room = asyncio.Semaphore(MAX_BINDINGS)
        self.metrics = SchedulerMetrics()

    async def run(self, ready: asyncio.Event) -> None:
        self._snapshot = Snapshot(self._client.cache)
        self._binder = Binder(self._client, self._clock, self._snapshot)
        profiles = self._profiles.items()
        self._cycles = {name: Cycle(plugins_of(p), percentage=p.percentage) for name, p in profiles}
        self._recorders: dict[str, EventRecorder] = {}
        async with (
            SchedulingQueue(self._clock) as self._queue,
            AsyncExitStack() as recorders,
            Tasks("scheduler") as self._tasks,
        ):
            self.metrics.waiting = self._queue.counts
            for name in self._profiles:
                recorder = EventRecorder(self._client, self._clock, name)
                self._recorders[name] = await recorders.enter_async_context(recorder)
            cache, names, moved = self._client.cache, self._profiles, self._binder.volumes_moved
            watching = Watching(cache, self._snapshot, self._queue, names, moved)
            try:
                await watching.begin()
                ready.set()
                await self._schedule_all()
            finally:
                watching.stop()

    async def _schedule_all(self) -> None:
        looked_at = 0
        while True:
            waiting = await self._queue.take()
            await self._room.acquire()
            cycle = self._cycles[profile_of(waiting.info)]
            begun = self._clock.monotonic()
            decision = cycle.decide(waiting.info, self._snapshot)
            result = SCHEDULED if isinstance(decision, Placement) else UNSCHEDULABLE
            self.metrics.attempted(profile_of(waiting.info), result, self._clock.monotonic() - begun)
            if isinstance(decision, Placement):
                self._place(waiting, decision.node)
            else:
                await self._refuse(cycle, waiting, decision)
            looked_at += decision.examined + 20
            if looked_at > AT_ONCE:
                looked_at = 0
                await asyncio.sleep(0)

    def _place(self, waiting: Waiting, node: str) -> None:
        info = waiting.info
        plan, devices = self._volume_plan(info, node), self._device_plan(info, node)
        self._snapshot.allocating.update(devices.fresh)
        self._binder.reserve(plan)
        self._snapshot.put_pod(info, node)
        self._snapshot.withdraw(info.uid)
        self._queue.place(waiting)
        self._tasks.spawn(self._bind(waiting, node, (plan, devices)), f"bind/{info.key}")

    def _volume_plan(self, info: PodInfo, node: str) -> VolumePlan:
        target, claims = self._snapshot.node(node), read_claims(info, self._client.cache)
        if target is None or isinstance(claims, Reject) or not claims.delayed:
            return VolumePlan()
        plan = plan_volumes(claims, target, self._client.cache, self._snapshot.reserved)
        return VolumePlan() if isinstance(plan, Reject) else plan

    def _device_plan(self, info: PodInfo, node: str) -> DevicePlan:
        target = self._snapshot.node(node)
        if target is None or not info.spec.get("resourceClaims"):
            return DevicePlan()
        return plan_devices(info, target.node, self._client.cache, self._snapshot.allocating)

    async def _bind(self, waiting: Waiting, node: str, plans: tuple[VolumePlan, DevicePlan]) -> None:
        info, (plan, devices) = waiting.info, plans
        try:
            if plan.claims:
                self._room.release()
                try:
                    await self._binder.bind_volumes(plan, node)
                except (VolumesNotBound, ApiError):
                    self._binder.forget(devices)
                    raise
                finally:
                    await self._room.acquire()
            await self._binder.bind_devices(devices, info)
            await self._binder.bind(info, node)
            self.metrics.scheduled(waiting.attempts)
            message = f"Successfully assigned {info.key} to {node}"
            self._tell(info, info, "Normal", "Scheduled", message)
        except (NotFound, Conflict) as error:
            log.info("pod %s was not bound to %s: %s", info.key, node, error.message)
            self._give_back(waiting)
        except VolumesNotBound as error:
            message = f'running PreBind plugin "VolumeBinding": {error}'
            self._tell(info, info, "Warning", "FailedScheduling", message)
            self._give_back(waiting)
        except ApiError as error:
            self._tell(info, info, "Warning", "FailedScheduling", f"binding rejected: {error.message}")
            self._give_back(waiting)
        finally:
            self._room.release()

    def _give_back(self, waiting: Waiting) -> None:
        """A failed binding: the node's room is free again; the pod is retried unless it is gone or assigned."""
        current = self._client.cache.get(Pod, waiting.info.key)
        if current is not None and uid_of(current) == waiting.info.uid and dig(current, "spec.nodeName"):
            return
        self._snapshot.remove_pod(waiting.info.uid)
        wanted = current is not None and needs_node(current, self._profiles)
        if current is not None and wanted and uid_of(current) == waiting.info.uid:
            self._queue.retry(waiting)

    async def _refuse(self, cycle: Cycle, waiting: Waiting, refusal: Unschedulable) -> None:
        info, message = waiting.info, refusal.message
        if refusal.silent:
            self._queue.park(waiting, refusal.plugins)
            self._room.release()
            return
        if refusal.nodes and (why := preemption.broken_off(refusal)):
            message = f"{message} {why}"
        elif refusal.nodes and self._profiles_preempt(info):
            if why := preemption.ineligible(info, self._snapshot):
                message = f"{message} {preemption.remark(info, why)}"
            else:
                found = await self._give_way(Preemptor(cycle), info, refusal)
                self.metrics.preempting(len(found.victims) if isinstance(found, Candidate) else 0)
                if isinstance(found, Candidate) and self._queue.holds(waiting):
                    self._snapshot.nominate(info, found.node)
                    self._tasks.spawn(self._evict(waiting, found, refusal), f"preempt/{info.key}")
                    return
                self._snapshot.withdraw(info.uid)
                message = f"{message} {found}" if isinstance(found, str) else message
        self._queue.park(waiting, refusal.plugins)
        self._tasks.spawn(self._report_and_release(info, message), f"report/{info.key}")

    def lines(self) -> Iterator[str]:
        """Its metrics, as kube-scheduler names them."""
        yield from self.metrics.lines()

    def _tell(self, by: PodInfo, about: PodInfo, type: str, reason: str, message: str) -> None:
        """An event about a pod, in the name of the profile that schedules `by`."""
        self._recorders[profile_of(by)].record(about.pod, type, reason, message)

    def _profiles_preempt(self, info: PodInfo) -> bool:
        return self._profiles[profile_of(info)].preempts

    async def _give_way(self, preemptor: Preemptor, info: PodInfo, refusal: Unschedulable) -> Candidate | str:
        """Whose going would help the pod, or what to say if nobody's would."""
        candidates: list[Candidate] = []
        refused: list[Reject] = []
        for number, outcome in enumerate(preemptor.search(info, self._snapshot, refusal), 1):
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                refused.append(outcome)
            if number % TRIED_AT_ONCE == 0:
                await asyncio.sleep(0)
        if candidates:
            return preemption.best(candidates)
        return preemption.remark(info, preemption.not_found(refusal.nodes, refused))

    async def _evict(self, waiting: Waiting, candidate: Candidate, refusal: Unschedulable) -> None:
        info, node = waiting.info, candidate.node
        for other in preemption.displaced(candidate, info, self._snapshot):
            self._snapshot.withdraw(other.uid)
            await self._patch_status(other, {"nominatedNodeName": None})
        try:
            await self._report(info, refusal.message)
            await asyncio.gather(*(self._evict_one(info, victim, node) for victim in candidate.victims))
        except ApiError as error:
            log.info("pod %s: a victim was not evicted: %s", info.key, error.message)
            self._snapshot.withdraw(info.uid)
            self._queue.retry(waiting)
        else:
            self._queue.park(waiting, refusal.plugins)
        finally:
            self._room.release()

    async def _evict_one(self, info: PodInfo, victim: PodInfo, node: str) -> None:
        if victim.terminating or is_deleting(victim.pod):
            return
        now = timestamp(self._clock.now())
        try:
            conditions = [preemption.disruption(info, now)]
            body = {"status": {"conditions": conditions}}
            await self._client.patch(Pod, victim.key, body, type=STRATEGIC_PATCH, subresource="status")
            await self._client.delete(Pod, victim.key, {"preconditions": {"uid": victim.uid}})
        except (NotFound, Conflict):
            return
        self.metrics.preempted += 1
        message = f"Preempted by pod {info.uid} on node {node}"
        self._tell(info, victim, "Normal", "Preempted", message)

    async def _report_and_release(self, info: PodInfo, message: str) -> None:
        try:
            await self._report(info, message)
        finally:
            self._room.release()

    async def _report(self, info: PodInfo, message: str) -> None:
        """Say why the pod waits, and for which node, where that is not said already."""
        pod, nominated = info.pod, self._snapshot.nomination(info.uid)
        self._tell(info, info, "Warning", "FailedScheduling", message[:NOTE_LENGTH])
        known = condition(pod, "PodScheduled") or {}
        same = known.get("reason") == "Unschedulable" and known.get("message") == message
        if same and nominated == info.nominated:
            return
        told: Obj = {"conditions": [unschedulable_condition(pod, message, timestamp(self._clock.now()))]}
        if nominated != info.nominated:
            told["nominatedNodeName"] = nominated or None
        await self._patch_status(info, told)

    async def _patch_status(self, info: PodInfo, status: Obj) -> None:
        try:
            body = {"metadata": {"uid": info.uid}, "status": status}
            await self._client.patch(Pod, info.key, body, type=STRATEGIC_PATCH, subresource="status")
        except ApiError as error:
            log.info("pod %s: its status was not written: %s", info.key, error.message)


def profile_of(info: PodInfo) -> str:
    """The name of the profile that the pod asks for."""
    name: str = info.spec.get("schedulerName", DEFAULT_NAME)
    return name


def unschedulable_condition(pod: Obj, message: str, now: str) -> Obj:
    """The PodScheduled condition of a pod that no node takes; the transition time is kept while it stays so."""
    known = condition(pod, "PodScheduled") or {}
    since = known.get("lastTransitionTime") if known.get("status") == "False" else None
    observed = {"observedGeneration": g} if (g := dig(pod, "metadata.generation")) else {}
    return {
        "type": "PodScheduled",
        **observed,
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": since or now,
    }
