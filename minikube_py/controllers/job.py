"""Job controller: runs pods until enough of them have succeeded, or too many have failed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Index
from minikube_py.controllers.base import Controller, ControllerContext
from minikube_py.controllers.jobs import counting
from minikube_py.controllers.jobs.counting import FINALIZER, Tally
from minikube_py.controllers.jobs.indexes import INDEX, is_indexed
from minikube_py.controllers.jobs.perindex import counts_per_index, marks, wait_left
from minikube_py.controllers.podcontrol import PodControl, namespace_terminating
from minikube_py.controllers.pods import ended_at, pod_from_template, removal_order
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
    name_of,
    namespace_of,
    timestamp,
    uid_of,
)

BACKOFF_BASE, BACKOFF_LIMIT = 10.0, 600.0
TRACKED = "controllers/job-tracked"
TERMINAL = {"FailureTarget": "Failed", "SuccessCriteriaMet": "Complete"}


@dataclass(slots=True)
class Failures:
    """Pods of a Job that have failed since the last success, and when the last one did."""

    pods: set[str] = field(default_factory=set)
    last: datetime | None = None


def _tracked_index(pod: Obj) -> Iterable[str]:
    """Files pods that carry the tracking finalizer under their Job's key."""
    ref = controller_of(pod)
    if ref is None or ref.get("kind") != "Job" or not counting.is_tracked(pod):
        return ()
    return (f"{namespace_of(pod)}/{ref['name']}",)


def job_pod(job: Obj, index: int | None, replaced: Obj | None = None) -> Obj:
    """A new pod of `job`, for one completion index of an Indexed Job; `replaced` is the index's failed pod."""
    suffix = "" if index is None else f"{index}-"
    pod = pod_from_template(job["spec"]["template"], job, f"{name_of(job)}-{suffix}")
    meta, spec = pod["metadata"], pod["spec"]
    meta["finalizers"] = [*meta.get("finalizers", ()), FINALIZER]
    if index is None:
        return pod
    annotations = meta.setdefault("annotations", {})
    annotations[INDEX] = str(index)
    if counts_per_index(job):
        annotations.update(marks(replaced, job))
    meta.setdefault("labels", {})[INDEX] = str(index)
    spec.setdefault("hostname", f"{name_of(job)}-{index}")
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        env = container.setdefault("env", [])
        if all(entry.get("name") != "JOB_COMPLETION_INDEX" for entry in env):
            env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    return pod


class JobController(Controller):
    """Drive each Job towards its completions."""

    name: ClassVar[str] = "job-controller"
    reconciles, owns = Job, (Pod,)

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self.pods = PodControl(self.client, self.events)
        self._failures: dict[str, Failures] = {}  # by the Job's uid

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, TRACKED, _tracked_index),)

    async def reconcile(self, key: Key) -> float | None:
        job = self.cache.get(Job, key)
        strays = self._strays(key, job)
        await self._release(strays)
        if job is None or counting.is_finished(job):
            if job is not None:
                self._failures.pop(uid_of(job), None)
            return None
        if dig(job, "spec.managedBy", "kubernetes.io/job-controller") != "kubernetes.io/job-controller":
            return None
        found = counting.tally(job, self._pods(job))
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
        return None if ending else self._next(job, found)

    def _pods(self, job: Obj) -> list[Obj]:
        owned = self.cache.owned(Pod, uid_of(job))
        return [pod for pod in owned if (controller_of(pod) or {}).get("uid") == uid_of(job)]

    def _recount(self, job: Obj, found: Tally) -> None:
        """Put the pods that run by now into the tally. What ended meanwhile is the next run's to judge."""
        after = counting.tally(job, self._pods(job))
        found.active, found.ready, found.terminating = after.active, after.ready, after.terminating
        judged = {uid_of(pod) for pod in found.release}
        found.unjudged = any(uid_of(pod) not in judged for pod in after.release)

    async def _end(self, job: Obj, found: Tally, ending: tuple[str, str, str]) -> Exception | None:
        """Delete the pods that still run; they count as failed only where the Job has failed."""
        if ending[0] == "SuccessCriteriaMet":
            await self._release(found.active)
        return await self.pods.delete(job, found.active)

    def _strays(self, key: Key, job: Obj | None) -> list[Obj]:
        """Tracked pods of a Job of that name which is gone or over: nobody counts them any more."""
        over = job is None or bool(counting.is_finished(job))
        tracked = self.cache.indexed(Pod, TRACKED, str(key))
        return [p for p in tracked if over or (controller_of(p) or {}).get("uid") != uid_of(job or {})]

    async def _release(self, pods: Sequence[Obj]) -> None:
        """Take the tracking finalizer from `pods`."""
        for pod in pods:
            left = [name for name in dig(pod, "metadata.finalizers", []) if name != FINALIZER]
            meta = {"finalizers": left or None, "uid": uid_of(pod)}
            try:
                await self.client.patch(Pod, key_of(pod), {"metadata": meta})
            except NotFound:
                continue

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
        if dig(job, "spec.podReplacementPolicy") == "Failed" or dig(job, "spec.podFailurePolicy"):
            missing -= found.terminating if missing > 0 else 0
        if missing < 0:
            surplus = removal_order(found.active, found.active, self.clock.now())[:-missing]
            await self._release(surplus)  # pods that the Job itself takes away are no failures
            return await self.pods.delete(job, surplus)
        if missing == 0 or (self._backoff(job) > 0 and not counts_per_index(job)):
            return None
        indexes: Sequence[int | None] = [None] * missing
        if is_indexed(job):
            indexes = counting.new_indexes(job, found, missing, self.clock.now())
        made = [job_pod(job, index, found.delayed.get(-1 if index is None else index)) for index in indexes]
        return await self.pods.create(job, made)

    async def _store(self, job: Obj, found: Tally, ending: tuple[str, str, str] | None) -> None:
        now = self.clock.now()
        status = counting.counts(job, found)
        before: Obj = job.get("status") or {}
        conditions = list(before.get("conditions") or ())
        suspended = bool(dig(job, "spec.suspend"))
        if ending is None:
            conditions = self._suspension(job, conditions, suspended, now)
        if not suspended:
            status["startTime"] = before.get("startTime") or timestamp(now)
        elif ending is not None and before.get("startTime"):
            status["startTime"] = before["startTime"]
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

    def _suspension(self, job: Obj, conditions: list[Obj], suspended: bool, now: datetime) -> list[Obj]:
        was = (condition(job, "Suspended") or {}).get("status") == "True"
        if suspended == was:
            return conditions
        reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        self.events.record(job, "Normal", reason.removeprefix("Job"), message)
        others = [c for c in conditions if c["type"] != "Suspended"]
        return _with(others, ("Suspended", reason, message), now, "True" if suspended else "False")

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
