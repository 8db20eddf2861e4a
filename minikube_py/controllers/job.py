"""Job controller: runs pods until enough of them have succeeded, or too many have failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.batches import BURST, slow_start
from minikube_py.controllers.jobs import counting
from minikube_py.controllers.jobs.counting import Tally
from minikube_py.controllers.jobs.indexes import is_indexed
from minikube_py.controllers.jobs.perindex import counts_per_index, wait_left
from minikube_py.controllers.jobs.podsets import FINALIZER, JobPods, PodSet, is_tracked, told
from minikube_py.controllers.jobs.removal import surplus
from minikube_py.controllers.jobs.template import job_pod
from minikube_py.controllers.ownership import ORPHANS, adopters, claim, orphan_index, selector_of
from minikube_py.controllers.podcontrol import PodControl, namespace_terminating
from minikube_py.controllers.pods import ended_at, is_active
from minikube_py.errors import NotFound
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition,
    controller_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    namespace_of,
    timestamp,
    uid_of,
)

BACKOFF_BASE, BACKOFF_LIMIT = 10.0, 600.0
PODS_A_SECOND, SHORT, LONG = 1000, 0.1, 1.0
"""How many pods' Job waits a second after a change; shorter waits are not worth it, longer ones are cut."""
MYSELF = "kubernetes.io/job-controller"
JOB_NAME = "batch.kubernetes.io/job-name"
TRACKED = "controllers/job-tracked"
TERMINAL = {"FailureTarget": "Failed", "SuccessCriteriaMet": "Complete"}


@dataclass(slots=True)
class Failures:
    """Pods of a Job that have failed since the last success, and when the last one did."""

    pods: set[str] = field(default_factory=set)
    last: datetime | None = None


def _job_of(pod: Obj) -> Key | None:
    """The key of the Job that a tracked pod belongs to, or did until it lost its controller. None: of none."""
    if not is_tracked(pod):
        return None
    ref = controller_of(pod)
    if ref is None:
        return Key(namespace_of(pod), labels_of(pod).get(JOB_NAME, ""))
    return Key(namespace_of(pod), ref["name"]) if ref.get("kind") == "Job" else None


def _tracked_index(pod: Obj) -> Iterable[str]:
    """Files pods that carry the tracking finalizer under their Job's key."""
    key = _job_of(pod)
    return () if key is None else (str(key),)


def _is_stray(pod: Obj, job: Obj | None) -> bool:
    """Whether nobody counts the tracked pod: its Job is gone or over, or it belongs to it no more."""
    if job is None or counting.is_finished(job):
        return True
    ref = controller_of(pod)
    if ref is None:
        return not selector_of(job).matches(labels_of(pod))
    return bool(ref.get("uid") != uid_of(job))


def patience(pods: PodSet) -> float:
    """Seconds until a change of one of a Job's `pods` is looked at: the more there are, the longer."""
    wait = (len(pods.active) + len(pods.left)) / PODS_A_SECOND
    return min(wait, LONG) if wait >= SHORT else 0.0


class JobController(Controller):
    """Drive each Job towards its completions."""

    name: ClassVar[str] = "job-controller"
    reconciles, owns = Job, (Pod,)

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.pods = PodControl(self.client, self.events)
        self._failures: dict[str, Failures] = {}  # by the Job's uid
        self._job_pods = JobPods()

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, TRACKED, _tracked_index), (Pod, ORPHANS, orphan_index))

    def watches(self) -> Mapping[Kind, KeysOf]:
        self._job_pods = JobPods()
        adopting = adopters(self.cache, Job)
        return {Pod: lambda change: [*adopting(change), *self._orphaned(change)]}

    def _owners(self, change: Change) -> Iterable[Key]:
        """Those that control the pod, now or before, where it makes a difference to them. Those with many pods
        are looked at a little later, so that changes of many pods at once cost one look."""
        if not self._job_pods.note(change) or change.keeps(told):
            return ()
        keys = list(super()._owners(change))
        ref = controller_of(change.object) or {}
        pods = self._job_pods.of(ref.get("uid", ""))
        if not (wait := patience(pods)):
            return keys
        for key in keys:
            self.queue.add_after(key, wait)
        return ()

    def _orphaned(self, change: Change) -> Iterable[Key]:
        """The Job of a pod that was its own and has no controller now, but still its finalizer."""
        key = None if controller_of(change.object) else _job_of(change.object)
        return () if key is None or change.type == "DELETED" else (key,)

    async def reconcile(self, key: Key) -> float | None:
        job = self.cache.get(Job, key)
        if job is not None and dig(job, "spec.managedBy", MYSELF) != MYSELF:
            return None
        tracked = self.cache.indexed(Pod, TRACKED, str(key))
        pods = self._job_pods.of(uid_of(job)) if job is not None else PodSet()
        if job is None or counting.is_finished(job) or len(tracked) != pods.tracked:
            await self._release([pod for pod in tracked if _is_stray(pod, job)])
        if job is None or counting.is_finished(job):
            if job is not None:
                self._failures.pop(uid_of(job), None)
            return None
        found = counting.tally(job, await self._claim(job))
        self._note_failures(job, found)
        ending = None if is_deleting(job) else counting.verdict(job, found, self.clock.now())
        error = None
        if ending is not None:
            error = await self._end(job, found, ending)
        elif not is_deleting(job):
            error = await self._manage(job, found)
        self._recount(job, found)
        await self._store(job, found, ending)
        await self._release(found.release)
        if error is not None and not namespace_terminating(error):
            raise error
        if found.unmade:
            return 0.0
        return None if ending else self._next(job, found)

    async def _claim(self, job: Obj) -> PodSet:
        """The Job's pods. One that it adopts while it runs is counted like those it made."""
        pods, selector = self._job_pods.of(uid_of(job)), selector_of(job)
        orphans = self.cache.indexed(Pod, ORPHANS, namespace_of(job))
        generated = not dig(job, "spec.manualSelector") and pods.selected.keys() <= {uid_of(job)}
        if generated and not any(selector.matches(labels_of(orphan)) for orphan in orphans):
            return pods
        mine = []
        for pod in await claim(self.client, Job, job, Pod):
            known = self.cache.get(Pod, key_of(pod))
            adopted = known is None or controller_of(known) is None
            if adopted and is_active(pod) and not is_tracked(pod):
                finalizers = [*dig(pod, "metadata.finalizers", []), FINALIZER]
                body = {"metadata": {"finalizers": finalizers, "uid": uid_of(pod)}}
                pod = await self.client.patch(Pod, key_of(pod), body)
            mine.append(pod)
        return PodSet(mine)

    def _recount(self, job: Obj, found: Tally) -> None:
        """Put the pods that run by now into the tally. What ended meanwhile is the next run's to judge."""
        after = counting.tally(job, self._job_pods.of(uid_of(job)))
        found.pods, found.terminating = after.pods, after.terminating
        judged = {uid_of(pod) for pod in found.release}
        found.unjudged |= any(uid_of(pod) not in judged for pod in after.release)

    async def _end(self, job: Obj, found: Tally, ending: tuple[str, str, str]) -> Exception | None:
        """Delete the pods that still run; they count as failed only where the Job has failed."""
        running = list(found.active.values())
        if ending[0] == "SuccessCriteriaMet":
            await self._release(running)
        return await self.pods.delete(job, running)

    async def _release(self, pods: Sequence[Obj]) -> None:
        """Take the tracking finalizer from `pods`, from many at once."""

        async def release(number: int) -> None:
            left = [name for name in dig(pods[number], "metadata.finalizers", []) if name != FINALIZER]
            meta = {"finalizers": left or None, "uid": uid_of(pods[number])}
            try:
                await self.client.patch(Pod, key_of(pods[number]), {"metadata": meta})
            except NotFound:
                return

        _, error = await slow_start(len(pods), release)
        if error is not None:
            raise error

    def _note_failures(self, job: Obj, found: Tally) -> None:
        """Remember the failures in a row, for the backoff; a success ends the row."""
        if found.new_successes:
            self._failures.pop(uid_of(job), None)
        for pod in found.new_failures:
            row = self._failures.setdefault(uid_of(job), Failures())
            row.pods.add(uid_of(pod))
            ended = ended_at(pod) or self.clock.now()
            row.last = max(row.last or ended, ended)

    def _backoff(self, job: Obj) -> float:
        """Seconds until pods may be created again."""
        row = self._failures.get(uid_of(job))
        if row is None or row.last is None:
            return 0.0
        wait = min(BACKOFF_LIMIT, BACKOFF_BASE * 2.0 ** min(len(row.pods) - 1, 10))
        return max(0.0, wait - (self.clock.now() - row.last).total_seconds())

    async def _manage(self, job: Obj, found: Tally) -> Exception | None:
        """Create or delete pods towards the wanted number; the first error."""
        missing = counting.wanted_active(job, found) - len(found.active)
        if counting.waits_for_the_end(job):
            missing -= len(found.terminating) if missing > 0 else 0
        gone = surplus(job, found.pods, max(0, -missing), self.clock.now())
        if gone:
            await self._release(gone)  # pods that the Job itself takes away are no failures
            return await self.pods.delete(job, gone)
        if missing <= 0 or (self._backoff(job) > 0 and not counts_per_index(job)):
            return None
        indexes: Sequence[int | None] = [None] * missing
        if is_indexed(job):
            indexes = counting.new_indexes(job, found, missing, self.clock.now())
        found.unmade, now = len(indexes) > BURST, indexes[:BURST]
        made = [job_pod(job, index, found.delayed.get(-1 if index is None else index)) for index in now]
        return await self.pods.create(job, made)

    async def _store(self, job: Obj, found: Tally, ending: tuple[str, str, str] | None) -> None:
        now = self.clock.now()
        status = counting.counts(job, found)
        before: Obj = job.get("status") or {}
        conditions = list(before.get("conditions") or ())
        suspended = bool(dig(job, "spec.suspend"))
        started = before.get("startTime")
        if ending is None and not is_deleting(job):
            resumed = self._suspension(job, conditions, suspended, now)
            started = None if resumed else started  # the deadline's time begins anew
        if not suspended:
            started = started or timestamp(now)
        if started:
            status["startTime"] = started
        if ending is not None:
            conditions = _with(conditions, ending, now)
            if found.is_settled:
                conditions = _with(conditions, (TERMINAL[ending[0]], *ending[1:]), now)
                if ending[0] == "SuccessCriteriaMet":
                    status["completionTime"] = timestamp(now)
        if conditions:
            status["conditions"] = conditions
        await self.set_status(Job, job, status)
        if ending is not None and conditions[-1]["type"] in TERMINAL.values():
            self._record_end(job, ending)

    def _suspension(self, job: Obj, conditions: list[Obj], suspended: bool, now: datetime) -> bool:
        """Put the condition Suspended right; whether the Job has just been resumed."""
        was = (condition(job, "Suspended") or {}).get("status") == "True"
        if suspended == was:
            return False
        reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        self.events.record(job, "Normal", reason.removeprefix("Job"), message)
        [new] = _with([], ("Suspended", reason, message), now, "True" if suspended else "False")
        place = next((i for i, c in enumerate(conditions) if c["type"] == "Suspended"), len(conditions))
        conditions[place : place + 1] = [new]
        return not suspended

    def _record_end(self, job: Obj, ending: tuple[str, str, str]) -> None:
        type, reason, message = ending
        if type == "SuccessCriteriaMet":
            self.events.record(job, "Normal", "Completed", "Job completed")
        else:
            self.events.record(job, "Warning", reason, message)

    def _next(self, job: Obj, found: Tally) -> float | None:
        """Seconds until the deadline or the end of a backoff."""
        now = self.clock.now()
        backoffs = [wait_left(job, pod, now) for pod in found.delayed.values()] or [self._backoff(job)]
        waits = (counting.deadline_left(job, now), *backoffs)
        fresh = dig(job, "status.startTime") is None and not dig(job, "spec.suspend")
        if fresh and dig(job, "spec.activeDeadlineSeconds") is not None:
            return float(dig(job, "spec.activeDeadlineSeconds"))
        return min((wait for wait in waits if wait), default=None)


def _with(conditions: list[Obj], new: tuple[str, str, str], now: datetime, status: str = "True") -> list[Obj]:
    """`conditions` and a new one, unless one of its type is there."""
    type, reason, message = new
    if any(c["type"] == type for c in conditions):
        return conditions
    moment = timestamp(now)
    times = {"lastProbeTime": moment, "lastTransitionTime": moment}
    return [*conditions, {"type": type, "status": status, "reason": reason, "message": message} | times]
