"""PodWorker: drives one pod from its first sight to its removal.

One task per pod plans whenever something has changed (the object, a container, a probe's result, the end of a
backoff) and hands the work to at most one starting task and one stopping task per container. Nothing is
polled. The pod's object is deleted from the API only when nothing of the pod is left on the node.
"""

import asyncio
import logging
from functools import partial

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.backoff import Backoff
from minikube_py.kubelet.memory import PodMemory
from minikube_py.kubelet.plan import Kill, Plan, plan
from minikube_py.kubelet.pod_volumes import PodVolumes
from minikube_py.kubelet.probes import PodProbes, Watcher
from minikube_py.kubelet.publish import StatusPublisher, newer
from minikube_py.kubelet.removal import delete_object, remove_traces, take_down
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.start import Starter, StartRefused
from minikube_py.kubelet.status import FINAL, pod_status
from minikube_py.kubelet.stop import Stopper, Stopping, grace_of
from minikube_py.kubelet.volumes.base import ObjectRef, VolumeContext, VolumeFailed
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    condition_is,
    containers_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    parse_time,
    uid_of,
)
from minikube_py.runtime.base import RuntimeFailed, Sandbox

log = logging.getLogger(__name__)

KILL_RETRY = 2.0  # seconds
FORCED = 1.0  # seconds of grace that a forced deletion leaves
DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class PodWorker:
    """One pod. `update` and `removed` come from the cache, `wake` from the view and the probes."""

    def __init__(self, pod: Obj, shared: Shared) -> None:
        self.pod = pod
        self.uid = uid_of(pod)
        self._shared = shared
        self._name = str(key_of(pod))
        self._gone = False
        self._terminal = False
        self._ended: tuple[str, str] = ("", "")
        self._wake = asyncio.Event()
        self._tasks = Tasks(f"kubelet/{self._name}")
        self._starting: asyncio.Task[None] | None = None
        self._killing: dict[str, asyncio.Task[None]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._stale_volumes = True
        self._retry = Backoff(1.0, 60.0)
        self._memory = PodMemory(shared, self.uid)
        context = VolumeContext(pod, shared.client, shared.clock, shared.config, shared.facts(), shared.lookup)
        self._volumes = PodVolumes(context, shared.volume_kinds)
        self._probes = PodProbes(
            self._name, shared.runtime.streams, shared.clock, Watcher(self.wake, self._unhealthy)
        )
        self._starter = Starter(shared, self._volumes, self._tasks)
        self._stopper = Stopper(shared)
        self._publisher = StatusPublisher(shared.client, shared.clock, self._compute, self._stored)

    def update(self, pod: Obj) -> None:
        """The pod's object has changed."""
        before, self.pod = self.pod, newer(self.pod, pod)
        self._volumes.context.pod = self.pod
        if labels_of(before) != labels_of(pod) or annotations_of(before) != annotations_of(pod):
            self._stale_volumes = True
        self.wake()

    def removed(self) -> None:
        """The pod's object is gone from the API."""
        self._gone = True
        self.wake()

    def wake(self) -> None:
        """Something may have changed: plan again."""
        self._wake.set()

    def object_changed(self) -> None:
        """A ConfigMap or Secret that the pod needs has changed: no more waiting for it."""
        self._stale_volumes = True
        self._retry.forget("start")
        self._memory.retry_configuration()
        self.wake()

    def needs(self) -> set[ObjectRef]:
        """The ConfigMaps and Secrets that the pod is made from."""
        namespace = self.pod["metadata"]["namespace"]
        found = set(self._volumes.needs())
        for container in containers_of(self.pod["spec"]):
            for source in [*(container.get("envFrom") or ()), *_value_sources(container)]:
                for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                    ref = source.get(f"{field}Ref") or source.get(f"{field}KeyRef")
                    if ref:
                        found.add(ObjectRef(kind, namespace, ref.get("name", "")))
        return found

    async def run(self) -> None:
        """Drive the pod until nothing of it is left on this node."""
        async with self._tasks:
            self._tasks.spawn(self._publisher.run(), "status")
            try:
                while not self._must_end():
                    await self._wait(self._step())
                await self._end()
            finally:
                await self._probes.close()

    def _must_end(self) -> bool:
        return self._gone or is_deleting(self.pod) or bool(self._ended[0]) or self._terminal

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

    def _step(self) -> float | None:
        """Plan and begin what is due; when to plan again at the latest."""
        now = self._shared.epoch()
        self._probe()
        if self.pod.get("status", {}).get("phase") in FINAL:
            self._terminal = True
            self._wake.set()
            return None
        if (deadline := self._deadline()) is not None and now >= deadline:
            self._ended = DEADLINE
            self._event("Normal", *DEADLINE)
            self._wake.set()
            return None
        todo = plan(self.pod, self._memory.seen(self.pod, self._probes, now))
        self._memory.note_backoffs(self.pod, todo.backing_off, now)
        for kill in todo.kill:
            self._kill(kill)
        if todo.finished and not todo.kill and self._starting is None:
            self._terminal = True
            self._wake.set()
            return None
        times = [todo.retry_at, deadline, self._volumes.refresh_at]
        self._refresh(now)
        if todo.sandbox is not None or todo.start or todo.stop_sandboxes:
            times.append(self._start(todo, now))
        self._publisher.changed()
        return min((moment for moment in times if moment is not None), default=None)

    def _deadline(self) -> float | None:
        seconds, begun = self.pod["spec"].get("activeDeadlineSeconds"), dig(self.pod, "status.startTime")
        return None if seconds is None or begun is None else parse_time(begun).timestamp() + seconds

    def _probe(self) -> None:
        running = self._memory.running(self.pod, set(self._killing))
        self._probes.sync(running, next(iter(self._ips()), ""), self.pod.get("status") or {})

    def _ips(self) -> tuple[str, ...]:
        sandbox = self._shared.view.of(self.uid).ready_sandbox()
        return self._starter.addresses(self.pod, sandbox) if sandbox else ()

    def _kill(self, kill: Kill) -> None:
        id = kill.container.id
        if id not in self._killing:
            self._killing[id] = self._tasks.spawn(self._do_kill(kill), f"kill/{kill.container.name}")

    async def _do_kill(self, kill: Kill) -> None:
        id = kill.container.id
        try:
            how = Stopping(self._memory.grace(self.pod, kill), kill.message)
            await self._stopper.container(self.pod, kill.container, how)
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("%s: cannot stop container %s: %s", self._name, kill.container.name, error)
            await self._shared.clock.sleep(KILL_RETRY)
        finally:
            del self._killing[id]
            self.wake()

    def _refresh(self, now: float) -> None:
        """Bring the volumes up to date in a task of its own, where they may have gone stale."""
        due = self._volumes.refresh_at is not None and self._volumes.refresh_at <= now
        if not (self._stale_volumes or due) or self._refreshing is not None:
            return
        self._stale_volumes = False
        if self._shared.view.of(self.uid).ready_sandbox() is not None and self._starting is None:
            self._refreshing = self._tasks.spawn(self._do_refresh(), "volumes")

    async def _do_refresh(self) -> None:
        try:
            self._volumes.context.facts = self._shared.facts(self._ips())
            await self._starter.finish(
                partial(asyncio.to_thread, self._shared.cgroups.make, self.pod), "cgroup"
            )
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
        """Begin the starts of a plan, one series at a time; when to try again where one has just failed."""
        if self._starting is not None:
            return None
        until = self._retry.until("start")
        if until > now:
            return until
        lost = todo.sandbox is not None and condition_is(self.pod, "Ready")
        if not lost:  # that a pod is Ready no more is told at once
            self._publisher.hold()
        self._starting = self._tasks.spawn(self._do_start(todo), "start")
        return None

    async def _do_start(self, todo: Plan) -> None:
        try:
            sandbox = await self._ready_sandbox(todo)
            if sandbox is not None:
                for start in todo.start:
                    await self._start_container(start.name, start.attempt, sandbox)
            self._retry.forget("start")
        except VolumeFailed as failure:
            self._event("Warning", "FailedMount", str(failure))
            self._retry.next("start", self._shared.epoch())
        except (RuntimeFailed, TimeoutError) as failure:
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {failure}")
            self._retry.next("start", self._shared.epoch())
        finally:
            self._starting = None
            self._publisher.release()
            self.wake()
        try:
            await self._stopper.prune(self.uid)
        except (RuntimeFailed, TimeoutError) as failure:
            log.warning("%s: cannot remove dead containers: %s", self._name, failure)

    async def _ready_sandbox(self, todo: Plan) -> Sandbox | None:
        for id in todo.stop_sandboxes:
            await self._stopper.sandbox(id)
        if todo.sandbox is not None:
            names = {start.name for start in todo.start}
            first = [c for c in containers_of(self.pod["spec"]) if c["name"] in names]
            self._stale_volumes = False  # they are made from what is known now
            return await self._starter.sandbox(self.pod, todo.sandbox, first)
        await self._volumes.prepare()
        return self._shared.view.of(self.uid).ready_sandbox()

    async def _start_container(self, name: str, attempt: int, sandbox: Sandbox) -> None:
        spec = next(c for c in containers_of(self.pod["spec"]) if c["name"] == name)
        self._memory.note_start(name, attempt)
        try:
            container = await self._starter.container(self.pod, spec, attempt, sandbox)
        except StartRefused as refusal:
            self._memory.note_refusal(name, refusal)
            return
        self._memory.note_running(name)
        if container.state == "running":
            self._probe()

    def _unhealthy(self, spec: Obj, message: str) -> None:
        self._shared.teller(self.pod, spec)("Warning", "Unhealthy", message)

    def _event(self, type: str, reason: str, message: str) -> None:
        self._shared.recorder.record(self.pod, type, reason, message)

    def _compute(self) -> tuple[Obj, Obj]:
        status = self.pod.get("status") or {}
        if status.get("phase") in FINAL:
            return self.pod, status  # told for good; what it was made from may be gone
        facts = self._memory.facts(self._probes, self._ips(), self._ended)
        return self.pod, pod_status(self.pod, facts)

    def _stored(self, pod: Obj) -> None:
        self.pod = newer(self.pod, pod)

    async def _end(self) -> None:
        """Stop everything, tell the final status, and once the pod is deleted remove what is left."""
        for task in (self._starting, self._refreshing):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        watch = self._tasks.spawn(self._watch_grace(), "grace")
        await self._stopper.everything(self.pod, self._grace())
        watch.cancel()
        await self._probes.close()
        self._memory.terminal = True
        if not self._gone:
            await self._publisher.publish()
        await take_down(self._shared, self._volumes, self.pod)
        while not (self._gone or is_deleting(self.pod)):
            await self._wait(None)
        await self._stopper.remove_all(self.uid)
        await take_down(self._shared, self._volumes, self.pod)
        await remove_traces(self._shared, self.pod)
        await delete_object(self._shared, self.pod, lambda: self._gone)

    def _grace(self) -> float:
        """The grace period in seconds: a pod that is gone from the API before it has ended was forced out."""
        return FORCED if self._gone else grace_of(self.pod)

    async def _watch_grace(self) -> None:
        """While the pod is being stopped: a shorter grace period, given later, takes effect at once."""
        known = self._grace()
        while True:
            await self._wait(None)
            if (asked := self._grace()) < known:
                known = asked
                for container in list(self._shared.view.of(self.uid).containers.values()):
                    if container.state == "running":
                        self._tasks.spawn(self._hurry(container.id, asked), f"hurry/{container.name}")

    async def _hurry(self, id: str, grace: float) -> None:
        try:
            await self._shared.runtime.containers.stop(id, grace)
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("%s: cannot stop a container sooner: %s", self._name, error)


def _value_sources(container: Obj) -> list[Obj]:
    return [entry["valueFrom"] for entry in container.get("env") or () if entry.get("valueFrom")]
