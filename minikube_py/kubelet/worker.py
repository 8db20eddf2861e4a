"""PodWorker: drives one pod from its first sight to its removal.

One task per pod plans whenever something has changed (the object, a container, a probe's result, the end of a
backoff) and hands the work to at most one starting task and one stopping task per container. Nothing is
polled. The pod's object is deleted from the API only when nothing of the pod is left on the node. A static
pod's object is the file's; its status goes to its mirror in the API, where there is one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from minikube_py.aio.clock import within
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.admission.admission import Rejection
from minikube_py.kubelet.admission.preemption import MESSAGE, REASON
from minikube_py.kubelet.cm.resizer import Resizer
from minikube_py.kubelet.kuberuntime.kills import Kills
from minikube_py.kubelet.kuberuntime.launch import Follower, Launch, Means
from minikube_py.kubelet.kuberuntime.references import environment_needs
from minikube_py.kubelet.kuberuntime.start import Starter
from minikube_py.kubelet.kuberuntime.stop import Stopper, grace_of
from minikube_py.kubelet.memory import PodMemory
from minikube_py.kubelet.plan import Plan, plan
from minikube_py.kubelet.pod_times import PodTimes
from minikube_py.kubelet.pod_volumes import PodVolumes
from minikube_py.kubelet.prober.probes import PodProbes, Watcher
from minikube_py.kubelet.publish import StatusPublisher, is_echo, newer
from minikube_py.kubelet.removal import delete_object, remove_traces, take_down
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.status import FINAL, pod_status, rejected_status, tells_running
from minikube_py.kubelet.volumes.base import Mounted, ObjectRef, VolumeContext, VolumeFailed
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    condition_is,
    dig,
    is_deleting,
    key_of,
    labels_of,
    parse_time,
    uid_of,
)
from minikube_py.runtime.base import Container

log = logging.getLogger(__name__)

LEAST_PATIENCE = 10.0  # seconds that a pod has to make room for another
FORCED = 1.0  # seconds of grace that a forced deletion leaves
DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")

Mirror = Callable[[], Obj | None]
"""The object in the API that shows a static pod."""


class PodWorker:
    """One pod. `update` and `removed` come from the cache, `wake` from the view and the probes. `mirror` makes
    it a static pod's worker."""

    def __init__(self, pod: Obj, shared: Shared, mirror: Mirror | None = None) -> None:
        self.pod = pod
        self.uid = uid_of(pod)
        self._shared, self._mirror = shared, mirror
        self._name = str(key_of(pod))
        self._gone = False
        self._terminal = False
        self._ended: tuple[str, str] = ("", "")
        self._disrupted = False
        self._rejection: Rejection | None = None
        self._grace_left: float | None = None
        self._displaced: Sequence[PodWorker] = ()
        self._stopped = asyncio.Event()
        self._told: Obj = {}
        self._wake = asyncio.Event()
        self._times = PodTimes(shared.metrics, shared.clock, pod)
        self._acknowledged = shared.clock.now()
        self._tasks = Tasks(f"kubelet/{self._name}")
        self._refreshing: asyncio.Task[None] | None = None
        self._stale_volumes = True
        self._memory = PodMemory(shared, self.uid)
        self._kills = Kills(shared, self._memory, self._tasks, self.wake)
        self._resizer = Resizer(shared, pod, self._tasks, self.wake)
        parts = (shared.client, shared.clock, shared.config, shared.facts(), shared.lookup, shared.storage)
        context = VolumeContext(pod, *parts)
        self._volumes = PodVolumes(context, shared.volume_kinds)
        self._volumes.took = self._times.mounted
        watcher = Watcher(self.wake, self._probed, self._times.probed)
        self._probes = PodProbes(self._name, shared.runtime.streams, shared.clock, watcher)
        self._starter = Starter(shared, self._volumes, self._tasks)
        self._memory.hooked = self._starter.hooked
        self._stopper = Stopper(shared)
        told = (shared.client, shared.clock, shared.starting)
        self._publisher = StatusPublisher(told, self._compute, self._stored)
        means = Means(self._starter, self._stopper, self._volumes, self._memory, self._tasks)
        self._launch = Launch(shared, means, self._effective, Follower(self._started, self._launched))

    def update(self, pod: Obj) -> None:
        """The pod's object has changed."""
        before, self.pod = self.pod, newer(self.pod, pod)
        self._volumes.context.pod = pod = self.pod
        grown = dig(before, "metadata.generation") != dig(pod, "metadata.generation")
        if grown:
            self._memory.note_changed(before, self.pod)
        if grown or labels_of(before) != labels_of(pod) or annotations_of(before) != annotations_of(pod):
            self._stale_volumes = True
        if not is_echo(before, self.pod, self._told):
            self.wake()

    def removed(self) -> None:
        """The pod's object, or a static pod's file, is gone."""
        self._gone = True
        self.wake()

    def reject(self, rejection: Rejection) -> None:
        """The pod may not run on this node: it is Failed, and nothing of it is started."""
        self._rejection = rejection
        self._event("Warning", rejection.reason, rejection.message)
        self.wake()

    def evict(self, reason: str, message: str, grace: float, *, disrupted: bool = False) -> None:
        """End the pod within `grace` seconds, Failed for this reason; `disrupted`: the node ran short."""
        if not self._must_end():
            self._disrupted = disrupted
            self._ended, self._grace_left = (reason, message), grace
            self._event("Warning", reason, message)
            self.wake()

    def displace(self, others: Sequence[PodWorker]) -> None:
        """End other pods, each within its own grace; this one starts once they have stopped, or did not in
        time."""
        self._displaced = others
        for other in others:
            other.evict(REASON, MESSAGE, grace_of(other.pod), disrupted=True)

    def mounted(self) -> Mapping[str, Mounted]:
        """The pod's volumes that are made, by name."""
        return self._volumes.mounted()

    @property
    def probe_counts(self) -> Mapping[tuple[str, ...], int]:
        """How often each probe had which result: by (container, namespace, pod, uid, probe, result)."""
        meta = self.pod["metadata"]
        of = (meta["namespace"], meta["name"], self.uid)
        return {(container, *of, *rest): n for (container, *rest), n in self._probes.counts.items()}

    def wake(self) -> None:
        """Something may have changed: plan again."""
        self._wake.set()

    def room_made(self) -> None:
        """Another pod has gone from the node: a resize that waits for room may go on."""
        if self._resizer.deferred:
            self.wake()

    def told_anew(self) -> None:
        """A static pod's mirror has changed: it may lack the status."""
        self._publisher.changed()

    def object_changed(self) -> None:
        """A ConfigMap or Secret that the pod needs has changed: no more waiting for it."""
        self._stale_volumes = True
        self._launch.retry_now()
        self._memory.retry_configuration()
        self.wake()

    def needs(self) -> set[ObjectRef]:
        """The ConfigMaps and Secrets that the pod is made from."""
        return {*self._volumes.needs(), *environment_needs(self.pod)}

    async def run(self) -> None:
        """Drive the pod until nothing of it is left on this node."""
        self._times.working()
        async with self._tasks:
            self._tasks.spawn(self._publisher.run(), "status")
            if self._displaced:
                self._tasks.spawn(self._make_room(), "room")
            if self._shared.devices.plugins.holds(self.uid):
                self._tasks.spawn(self._take_devices(), "devices")
            try:
                while not self._must_end():
                    await self._wait(None if self._is_held() else self._step())
                await self._end()
            finally:
                self._stopped.set()
                self._shared.starting.discard(self.uid)
                await self._probes.close()
                self._times.ended()

    def _is_held(self) -> bool:
        """Whether the pod may not start yet: others make room for it, or it waits for its devices."""
        return bool(self._displaced) or self._shared.devices.plugins.holds(self.uid)

    async def _take_devices(self) -> None:
        """Have device plugins give the pod what it was admitted with."""
        if rejection := await self._shared.devices.take(self.pod):
            self.reject(rejection)
        self.wake()

    async def _make_room(self) -> None:
        """Wait for the pods that this one displaces: half as long again as the grace of each, 10 s at least."""
        for other in self._displaced:
            patience = max(LEAST_PATIENCE, 1.5 * grace_of(other.pod))
            try:
                await within(self._shared.clock, patience, other._stopped.wait())
            except TimeoutError:
                log.warning("preemption: pod %s does not end; %s starts beside it", other._name, self._name)
        self._displaced = ()
        self.wake()

    def _must_end(self) -> bool:
        ended = bool(self._ended[0]) or self._rejection is not None
        return self._gone or is_deleting(self.pod) or ended or self._terminal

    async def _wait(self, until: float | None) -> None:
        """Wait to be woken, or for a moment (seconds since the epoch)."""
        alarm = None if until is None else self._tasks.spawn(self._alarm(until), "alarm")
        await self._wake.wait()
        self._wake.clear()
        if alarm is not None:
            alarm.cancel()

    async def _alarm(self, until: float) -> None:
        await self._shared.clock.sleep(until - self._shared.epoch())
        self._wake.set()

    def _effective(self) -> Obj:
        """The pod as it is to run: with the resources that it was allocated."""
        return self._resizer.effective(self.pod)

    def _step(self) -> float | None:
        """Plan and begin what is due; when to plan again at the latest."""
        now = self._shared.epoch()
        self._probe()
        if self.pod.get("status", {}).get("phase") in FINAL:
            self._finish()
            return None
        if (deadline := self._deadline()) is not None and now >= deadline:
            self._ended = DEADLINE
            self._event("Normal", *DEADLINE)
            self._wake.set()
            return None
        resized = self._resizer.step(self.pod, self._running())
        todo = plan(self._effective(), self._memory.seen(self.pod, self._probes, now, resized))
        self._memory.note_backoffs(self.pod, todo.backing_off, now)
        for kill in todo.kill:
            self._kills.begin(self.pod, kill)
        if todo.finished and not self._launch.busy:
            self._finish()
            return None
        times = [todo.retry_at, deadline, self._volumes.refresh_at]
        self._refresh(now)
        if todo.sandbox is not None or todo.start or todo.stop_sandboxes:
            times.append(self._start(todo, now))
        self._publisher.changed()
        return min((moment for moment in times if moment is not None), default=None)

    def _finish(self) -> None:
        self._terminal = True
        self._wake.set()

    def _deadline(self) -> float | None:
        seconds, begun = self.pod["spec"].get("activeDeadlineSeconds"), dig(self.pod, "status.startTime")
        return None if seconds is None or begun is None else parse_time(begun).timestamp() + seconds

    def _running(self) -> dict[str, tuple[Container, Obj]]:
        return self._memory.running(self.pod, self._kills.ids)

    def _probe(self) -> None:
        self._probes.sync(self._running(), next(iter(self._ips()), ""), self.pod.get("status") or {})

    def _ips(self) -> tuple[str, ...]:
        sandbox = self._shared.view.of(self.uid).ready_sandbox()
        return self._starter.addresses(self.pod, sandbox) if sandbox else ()

    def _refresh(self, now: float) -> None:
        """Bring the volumes up to date in a task of its own, where they may have gone stale."""
        due = self._volumes.refresh_at is not None and self._volumes.refresh_at <= now
        if not (self._stale_volumes or due) or self._refreshing is not None:
            return
        self._stale_volumes = False
        if self._shared.view.of(self.uid).ready_sandbox() is not None and not self._launch.busy:
            self._refreshing = self._tasks.spawn(self._do_refresh(), "volumes")

    async def _do_refresh(self) -> None:
        try:
            self._volumes.context.facts = self._shared.facts(self._ips())
            make = partial(asyncio.to_thread, self._shared.cgroups.make, self._resizer.roomy(self.pod))
            await self._starter.finish(make, "cgroup")
            await self._volumes.prepare()
            await self._volumes.refresh()
        except VolumeFailed as failure:
            self._event("Warning", "FailedMount", str(failure))
            await self._shared.clock.sleep(10.0)
            self._stale_volumes = True
        finally:
            self._refreshing = None
            self.wake()

    def _start(self, todo: Plan, now: float) -> float | None:
        """Begin the starts of a plan; when to try again where they have just failed."""
        idle = not self._launch.busy
        again = self._launch.begin(todo, now)
        if idle and self._launch.busy:
            self._times.starting()
            if todo.sandbox is not None:
                self._stale_volumes = False  # they are made from what is known now
            if todo.sandbox is None or not condition_is(self.pod, "Ready"):
                self._shared.starting.add(self.uid)
                self._publisher.hold()  # that a pod is Ready no more is told at once
        return again

    def _started(self, spec: Obj, container: Container) -> None:
        self._resizer.note_started(spec, container)
        self._probe()

    def _launched(self) -> None:
        self._shared.starting.discard(self.uid)
        self._times.started()
        self._publisher.release()
        self.wake()

    def _probed(self, spec: Obj, reason: str, message: str) -> None:
        self._shared.teller(self.pod, spec)("Warning", reason, message)

    def _event(self, type: str, reason: str, message: str) -> None:
        self._shared.recorder.record(self.pod, type, reason, message)

    def _compute(self) -> tuple[Obj, Obj]:
        status = self._status()
        if self._mirror is None:
            self._told = status
            return self.pod, status
        self.pod = {**self.pod, "status": status}
        return self._mirror() or self.pod, status

    def _status(self) -> Obj:
        status = self.pod.get("status") or {}
        if status.get("phase") in FINAL and not tells_running(status):
            return status  # told for good; what it was made from may be gone
        if self._rejection is not None:
            why = self._rejection
            return rejected_status(self.pod, why.reason, why.message, self._shared.clock.now())
        facts = self._memory.facts(self._probes, self._ips(), self._ended, self._resizer)
        recursive = self._shared.isolation.recursive_read_only(self.pod)
        facts = replace(facts, acknowledged=self._acknowledged, disrupted=self._disrupted)
        return pod_status(self.pod, replace(facts, recursive=recursive))

    def _stored(self, pod: Obj) -> None:
        """What a write of the status has found in the API may be news that the cache has yet to tell."""
        self._times.stored(pod)
        if self._mirror is None and newer(self.pod, pod) is pod:
            self.update(pod)

    async def _end(self) -> None:
        """Stop everything, tell the final status, and once the pod is deleted remove what is left."""
        self._probes.end()
        await self._launch.cancel()
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))
        watch = self._tasks.spawn(self._watch_grace(), "grace")
        await self._stopper.everything(self.pod, self._grace())
        watch.cancel()
        self._stopped.set()
        await self._probes.close()
        self._memory.terminal = True
        await self._shared.devices.unprepare(self.pod, lambda: self._gone)
        if not self._gone:
            await self._publisher.publish()
        taking_down = self._tasks.spawn(take_down(self._shared, self._volumes, self.pod), "take-down")
        while not (self._gone or is_deleting(self.pod)):
            await self._wait(None)
            await self._stopper.everything(self.pod, self._grace())  # what a start that was cut off has left
        await self._stopper.remove_all(self.uid)
        await taking_down
        await remove_traces(self._shared, self.pod)
        await delete_object(self._shared, self.pod, lambda: self._gone)

    def _grace(self) -> float:
        """The grace period in seconds: a pod that is gone from the API before it has ended was forced out."""
        asked = FORCED if self._gone and self._mirror is None else grace_of(self.pod)
        return asked if self._grace_left is None else min(asked, self._grace_left)

    async def _watch_grace(self) -> None:
        """While the pod is being stopped: readiness is told on, and a shorter grace period, given later, takes
        effect at once."""
        known = self._grace()
        while True:
            if not self._gone or self._mirror is not None:
                self._publisher.changed()
            await self._wait(None)
            if (asked := self._grace()) < known:
                known = asked
                self._tasks.spawn(self._stopper.hurry(self.uid, asked), "hurry")
