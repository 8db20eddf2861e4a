"""How a Job's pods are counted, each exactly once, and what follows from the counts. Pure.

A finished pod carries the tracking finalizer until its uid stands in status.uncountedTerminatedPods; then the
finalizer goes, and only then the uid turns into a number. Whatever crashes in between, no pod is lost or
counted twice. Succeeded pods of an Indexed Job are a set of indexes, which needs no such care.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from minikube_py.controllers.jobs.failures import COUNT, FAIL_INDEX, FAIL_JOB, IGNORE, judge
from minikube_py.controllers.jobs.indexes import (
    format_indexes,
    index_of,
    is_indexed,
    missing_indexes,
    parse_indexes,
)
from minikube_py.controllers.jobs.perindex import (
    counts_per_index,
    has_index_failed,
    newest_failures,
    wait_left,
)
from minikube_py.controllers.jobs.podsets import PodSet, is_tracked
from minikube_py.controllers.jobs.success import matched_rule
from minikube_py.meta.objects import Obj, condition, condition_is, dig, is_deleting, parse_time, uid_of

ENDINGS = ("FailureTarget", "SuccessCriteriaMet")
"""The conditions that say how a Job will end, once its pods have."""

MAX_UNCOUNTED = 500
"""Pods that are counted at a time: status.uncountedTerminatedPods stays small."""


def is_finished(job: Obj) -> str:
    """`Complete` or `Failed` where that condition is true, else an empty string."""
    for type in ("Complete", "Failed"):
        if (condition(job, type) or {}).get("status") == "True":
            return type
    return ""


def waits_for_the_end(job: Obj) -> bool:
    """Whether a pod is replaced only once it has ended, not as soon as its deletion begins."""
    return dig(job, "spec.podReplacementPolicy") == "Failed" or dig(job, "spec.podFailurePolicy") is not None


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as failed: also one that is deleted before it succeeds, unless the Job replaces
    only pods that have ended."""
    if dig(pod, "status.phase") == "Failed":
        return True
    if dig(pod, "status.phase") == "Succeeded" or not is_deleting(pod):
        return False
    return not waits_for_the_end(job) or condition_is(job, "FailureTarget")


@dataclass(slots=True)
class Tally:
    """A Job's pods, counted. `succeeded` and `failed` include the uncounted ones and those whose turn to be
    counted is `later`; `delayed` are the last failed pods of indexes that are to be tried again."""

    pods: PodSet = field(default_factory=PodSet)
    terminating: list[Obj] = field(default_factory=list)
    counted_succeeded: int = 0
    counted_failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    delayed: dict[int, Obj] = field(default_factory=dict)
    release: list[Obj] = field(default_factory=list)
    new_failures: list[Obj] = field(default_factory=list)
    new_successes: int = 0
    later_succeeded: int = 0
    later_failed: int = 0
    fail_job: str = ""
    unjudged: bool = False
    unmade: bool = False

    @property
    def active(self) -> Mapping[str, Obj]:
        """The pods that run or will run, by uid."""
        return self.pods.active

    @property
    def is_settled(self) -> bool:
        """Whether every pod has ended and is counted for good."""
        uncounted = self.uncounted_succeeded or self.uncounted_failed or self.release
        return not (self.active or self.terminating or uncounted or self.delayed or self.unjudged)

    @property
    def succeeded(self) -> int:
        return self.counted_succeeded + len(self.uncounted_succeeded) + self.later_succeeded

    @property
    def failed(self) -> int:
        return self.counted_failed + len(self.uncounted_failed) + self.later_failed


def tally(job: Obj, pods: PodSet) -> Tally:
    """Count `pods` on top of what the Job's status has counted. `release` are the pods whose finalizer may go
    once the tally is stored; more than so many are not counted at a time."""
    status, indexed = job.get("status") or {}, is_indexed(job)
    uncounted = status.get("uncountedTerminatedPods") or {}
    tracked = {uid for uid, pod in pods.left.items() if is_tracked(pod)}
    found = Tally(pods, counted_failed=status.get("failed", 0))
    completions = int(dig(job, "spec.completions", 0))
    found.completed = {i for i in parse_indexes(status.get("completedIndexes", "")) if i < completions}
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
    if counts_per_index(job):
        _judge_indexes(found, job, pods)
    later = Tally(completed=found.completed, delayed=found.delayed)
    ended = sorted(pods.left.values(), key=lambda pod: uid_of(pod) not in known)
    for pod in ended:  # those that the status names before others
        if is_deleting(pod) and dig(pod, "status.phase") not in ("Succeeded", "Failed"):
            found.terminating.append(pod)
        full = len(found.uncounted_succeeded) + len(found.uncounted_failed) >= MAX_UNCOUNTED
        _count(later if full and uid_of(pod) not in known else found, job, pod, uid_of(pod) in known)
    found.later_succeeded, found.later_failed = len(later.uncounted_succeeded), len(later.uncounted_failed)
    found.unjudged, found.fail_job = bool(later.release), found.fail_job or later.fail_job
    if indexed:
        found.counted_succeeded = len(found.completed)
    return found


def _judge_indexes(found: Tally, job: Obj, pods: PodSet) -> None:
    """Tell the indexes that have failed for good from those that are to be tried again."""
    found.failed_indexes = parse_indexes(dig(job, "status.failedIndexes", ""))
    succeeded = {index_of(pod) for pod in pods.left.values() if dig(pod, "status.phase") == "Succeeded"}
    failed = [pod for pod in pods.left.values() if is_tracked(pod) and has_failed(job, pod)]
    for index, pod in newest_failures(failed).items():
        if index in found.failed_indexes | found.completed or index in succeeded:
            continue
        if has_index_failed(job, pod):
            found.failed_indexes.add(index)
        elif index not in pods.indexes and not is_ending(job):
            found.delayed[index] = pod


def is_ending(job: Obj) -> bool:
    """Whether the Job's outcome is decided."""
    return any((condition(job, type) or {}).get("status") == "True" for type in ENDINGS)


def _count(found: Tally, job: Obj, pod: Obj, known: bool) -> None:
    if not is_tracked(pod):
        return
    if is_deleting(job) and dig(pod, "status.phase") not in ("Succeeded", "Failed"):
        found.release.append(pod)  # nobody will ask for the count
    elif dig(pod, "status.phase") == "Succeeded":
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
    verdict = judge(job, pod) if dig(pod, "status.phase") == "Failed" else None
    if verdict is not None and verdict.action == FAIL_JOB and not found.fail_job:
        found.fail_job = verdict.message
    if any(pod is delayed for delayed in found.delayed.values()):
        return
    found.release.append(pod)
    if known or _is_beyond(job, pod):
        return
    if verdict is None or verdict.action != IGNORE:
        found.uncounted_failed.append(uid_of(pod))
    if verdict is None or verdict.action in (COUNT, FAIL_INDEX):
        found.new_failures.append(pod)


def _is_beyond(job: Obj, pod: Obj) -> bool:
    """Whether the pod is of an index that an Indexed Job does not have, or not any more."""
    index = index_of(pod)
    return is_indexed(job) and (index is None or index >= int(dig(job, "spec.completions", 0)))


def restarts_of_active(pods: Iterable[Obj]) -> int:
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
    for type in ENDINGS:
        if (known := condition(job, type)) is not None and known.get("status") == "True":
            return type, known.get("reason", ""), known.get("message", "")
    limit = int(dig(job, "spec.backoffLimit", 6))
    on_failure = dig(job, "spec.template.spec.restartPolicy") == "OnFailure"
    restarted = restarts_of_active(found.active.values()) if on_failure else 0
    if found.fail_job:
        return "FailureTarget", "PodFailurePolicy", found.fail_job
    if found.failed > limit or (restarted and restarted >= max(1, limit)):
        return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_left(job, now)
    if left is not None and left <= 0:
        return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
    if (failed := _index_verdict(job, found)) is not None:
        return failed
    if (rule := matched_rule(job, found.completed)) is not None:
        return "SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {rule}"
    if is_complete(job, found):
        return "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _index_verdict(job: Obj, found: Tally) -> tuple[str, str, str] | None:
    """The failure of a Job whose indexes fail one by one: too many of them, or some once all have ended."""
    if not found.failed_indexes:
        return None
    most = dig(job, "spec.maxFailedIndexes")
    if most is not None and len(found.failed_indexes) > int(most):
        told = "Job has exceeded the specified maximal number of failed indexes"
        return "FailureTarget", "MaxFailedIndexesExceeded", told
    if len(found.failed_indexes | found.completed) >= int(dig(job, "spec.completions", 0)):
        return "FailureTarget", "FailedIndexes", "Job has failed indexes"
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
    return min(parallelism, max(0, int(completions) - found.succeeded - len(found.failed_indexes)))


def new_indexes(job: Obj, found: Tally, count: int, now: datetime) -> list[int]:
    """The indexes of at most `count` pods to create for an Indexed Job; failed ones wait their backoff."""
    running = {index for index in found.pods.indexes if index is not None}
    waiting = {index for index, pod in found.delayed.items() if wait_left(job, pod, now) > 0}
    ending = found.terminating if waits_for_the_end(job) else []
    leaving = {index for pod in ending if (index := index_of(pod)) is not None}
    taken = found.completed | found.failed_indexes | running | waiting | leaving
    return missing_indexes(int(dig(job, "spec.completions", 0)), taken, count)


def counts(job: Obj, found: Tally) -> Obj:
    """The status fields that hold numbers."""
    waiting = {"succeeded": found.uncounted_succeeded, "failed": found.uncounted_failed}
    status: Obj = {
        "ready": found.pods.ready,
        "terminating": len(found.terminating),
        "uncountedTerminatedPods": {name: uids for name, uids in waiting.items() if uids},
    }
    optional = {
        "active": len(found.active),
        "succeeded": found.counted_succeeded,
        "failed": found.counted_failed,
        "completedIndexes": format_indexes(found.completed) if is_indexed(job) else "",
    }
    if counts_per_index(job):
        status["failedIndexes"] = format_indexes(found.failed_indexes)
    return status | {name: value for name, value in optional.items() if value}
