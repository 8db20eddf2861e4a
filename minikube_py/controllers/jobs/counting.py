"""How a Job's pods are counted, each exactly once, and what follows from the counts. Pure.

A finished pod carries the tracking finalizer until its uid stands in status.uncountedTerminatedPods; then the
finalizer goes, and only then the uid turns into a number. Whatever crashes in between, no pod is lost or
counted twice. Succeeded pods of an Indexed Job are a set of indexes, which needs no such care.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from minikube_py.controllers.jobs.failures import COUNT, FAIL_JOB, IGNORE, judge
from minikube_py.controllers.jobs.indexes import (
    format_indexes,
    index_of,
    is_indexed,
    missing_indexes,
    parse_indexes,
)
from minikube_py.controllers.pods import is_active, is_ready
from minikube_py.meta.objects import Obj, condition, dig, is_deleting, parse_time, uid_of

FINALIZER = "batch.kubernetes.io/job-tracking"


def is_finished(job: Obj) -> str:
    """`Complete` or `Failed` where that condition is true, else an empty string."""
    for type in ("Complete", "Failed"):
        if (condition(job, type) or {}).get("status") == "True":
            return type
    return ""


def is_tracked(pod: Obj) -> bool:
    """Whether the pod is yet to be counted or released."""
    return FINALIZER in (dig(pod, "metadata.finalizers") or ())


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as failed: also one that is deleted before it succeeds, unless the Job replaces
    only pods that have ended."""
    if dig(pod, "status.phase") == "Failed":
        return True
    waits = dig(job, "spec.podReplacementPolicy") == "Failed" or dig(job, "spec.podFailurePolicy") is not None
    return not waits and is_deleting(pod) and dig(pod, "status.phase") != "Succeeded"


@dataclass(slots=True)
class Tally:
    """A Job's pods, counted. `succeeded` and `failed` include the uncounted ones."""

    active: list[Obj] = field(default_factory=list)
    ready: int = 0
    terminating: int = 0
    counted_succeeded: int = 0
    counted_failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    completed: set[int] = field(default_factory=set)
    release: list[Obj] = field(default_factory=list)
    new_failures: list[Obj] = field(default_factory=list)
    new_successes: int = 0
    fail_job: str = ""
    unjudged: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether every pod has ended and is counted for good."""
        uncounted = self.uncounted_succeeded or self.uncounted_failed or self.release
        return not (self.active or self.terminating or uncounted or self.unjudged)

    @property
    def succeeded(self) -> int:
        return self.counted_succeeded + len(self.uncounted_succeeded)

    @property
    def failed(self) -> int:
        return self.counted_failed + len(self.uncounted_failed)


def tally(job: Obj, pods: Sequence[Obj]) -> Tally:
    """Count `pods` on top of what the Job's status has counted. `release` are the pods whose finalizer may go
    once the tally is stored."""
    status, indexed = job.get("status") or {}, is_indexed(job)
    uncounted = status.get("uncountedTerminatedPods") or {}
    tracked = {uid_of(pod) for pod in pods if is_tracked(pod)}
    found = Tally(counted_failed=status.get("failed", 0))
    found.completed = parse_indexes(status.get("completedIndexes", "")) if indexed else set()
    found.counted_succeeded = 0 if indexed else status.get("succeeded", 0)
    for uid in uncounted.get("succeeded") or ():
        if uid in tracked:
            found.uncounted_succeeded.append(uid)
        else:
            found.counted_succeeded += not indexed
    for uid in uncounted.get("failed") or ():
        if uid in tracked:
            found.uncounted_failed.append(uid)
        else:
            found.counted_failed += 1
    known = {*found.uncounted_succeeded, *found.uncounted_failed}
    for pod in pods:
        _count(found, job, pod, uid_of(pod) in known)
    if indexed:
        found.counted_succeeded = len(found.completed)
    return found


def _count(found: Tally, job: Obj, pod: Obj, known: bool) -> None:
    if is_active(pod):
        found.active.append(pod)
        found.ready += is_ready(pod)
        return
    if is_deleting(pod) and dig(pod, "status.phase") not in ("Succeeded", "Failed"):
        found.terminating += 1
    if not is_tracked(pod):
        return
    if dig(pod, "status.phase") == "Succeeded":
        _count_success(found, job, pod, known)
    elif has_failed(job, pod):
        _count_failure(found, job, pod, known)


def _count_success(found: Tally, job: Obj, pod: Obj, known: bool) -> None:
    found.release.append(pod)
    if is_indexed(job):
        index = index_of(pod)
        if index is not None and index < int(dig(job, "spec.completions", 0)):
            found.new_successes += index not in found.completed
            found.completed.add(index)
    elif not known:
        found.uncounted_succeeded.append(uid_of(pod))
        found.new_successes += 1


def _count_failure(found: Tally, job: Obj, pod: Obj, known: bool) -> None:
    found.release.append(pod)
    verdict = judge(job, pod) if dig(pod, "status.phase") == "Failed" else None
    if verdict is not None and verdict.action == FAIL_JOB and not found.fail_job:
        found.fail_job = verdict.message
    if known:
        return
    if verdict is None or verdict.action != IGNORE:
        found.uncounted_failed.append(uid_of(pod))
    if verdict is None or verdict.action == COUNT:
        found.new_failures.append(pod)


def restarts_of_active(pods: Sequence[Obj]) -> int:
    """Container restarts of running pods: failures of a Job whose pods restart in place."""
    return sum(
        status.get("restartCount", 0)
        for pod in pods
        for group in ("initContainerStatuses", "containerStatuses")
        for status in dig(pod, f"status.{group}", [])
    )


def verdict(job: Obj, found: Tally, now: datetime) -> tuple[str, str, str] | None:
    """The condition that ends the Job, as type, reason and message: FailureTarget or SuccessCriteriaMet. None
    while it goes on."""
    for type in ("FailureTarget", "SuccessCriteriaMet"):
        if (known := condition(job, type)) is not None and known.get("status") == "True":
            return type, known.get("reason", ""), known.get("message", "")
    limit = int(dig(job, "spec.backoffLimit", 6))
    on_failure = dig(job, "spec.template.spec.restartPolicy") == "OnFailure"
    restarted = restarts_of_active(found.active) if on_failure else 0
    if found.fail_job:
        return "FailureTarget", "PodFailurePolicy", found.fail_job
    if found.failed > limit or (restarted and restarted >= max(1, limit)):
        return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_left(job, now)
    if left is not None and left <= 0:
        return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
    if is_complete(job, found):
        return "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def is_complete(job: Obj, found: Tally) -> bool:
    """Whether enough pods have succeeded: spec.completions of them, or without that any, once all ended."""
    completions = dig(job, "spec.completions")
    if completions is None:
        return found.succeeded > 0 and not found.active and not found.terminating
    return found.succeeded >= int(completions)


def deadline_left(job: Obj, now: datetime) -> float | None:
    """Seconds until spec.activeDeadlineSeconds have passed since the start; None where no deadline runs."""
    limit, start = dig(job, "spec.activeDeadlineSeconds"), dig(job, "status.startTime")
    if limit is None or start is None or dig(job, "spec.suspend"):
        return None
    return (parse_time(start) + timedelta(seconds=int(limit)) - now).total_seconds()


def wanted_active(job: Obj, found: Tally) -> int:
    """How many pods should run now."""
    parallelism, completions = int(dig(job, "spec.parallelism", 1)), dig(job, "spec.completions")
    if dig(job, "spec.suspend"):
        return 0
    if completions is None:
        return len(found.active) if found.succeeded else parallelism
    return min(parallelism, max(0, int(completions) - found.succeeded))


def new_indexes(job: Obj, found: Tally, count: int) -> list[int]:
    """The indexes of `count` pods to create for an Indexed Job."""
    running = {index for pod in found.active if (index := index_of(pod)) is not None}
    return missing_indexes(int(dig(job, "spec.completions", 0)), found.completed | running, count)


def counts(job: Obj, found: Tally) -> Obj:
    """The status fields that hold numbers."""
    waiting = {"succeeded": found.uncounted_succeeded, "failed": found.uncounted_failed}
    status: Obj = {
        "ready": found.ready,
        "terminating": found.terminating,
        "uncountedTerminatedPods": {name: uids for name, uids in waiting.items() if uids},
    }
    optional = {
        "active": len(found.active),
        "succeeded": found.counted_succeeded,
        "failed": found.counted_failed,
        "completedIndexes": format_indexes(found.completed) if is_indexed(job) else "",
    }
    return status | {name: value for name, value in optional.items() if value}
