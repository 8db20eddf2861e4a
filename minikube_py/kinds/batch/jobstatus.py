"""Validation of a Job's status: whoever manages the Job, its story must hold together (KEP-4368).

What an update leaves as it was is not judged again.
"""

from collections.abc import Iterable, Sequence

from minikube_py.kinds.batch.jobpolicies import index_intervals
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, condition_is, parse_time
from minikube_py.meta.violations import (
    IMMUTABLE,
    duplicate,
    invalid,
    non_negative,
    omitted,
    required,
)

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")
_CONDITIONS = "status.conditions"


def validate_job_status(job: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a Job's new status."""
    status, before = job.get("status") or {}, (old or {}).get("status") or {}
    if status == before:
        return
    for field in _COUNTS:
        yield from non_negative(job, f"status.{field}")
    yield from _uncounted(status.get("uncountedTerminatedPods") or {})
    yield from _conditions(job, old or {})
    yield from _times(job, status, before)
    if condition_is(job, "Complete") or condition_is(job, "Failed"):
        yield from _finished(status)
    yield from _indexes(job["spec"], status, before)
    if status.get("ready") is not None and status["ready"] > (status.get("active") or 0):
        yield invalid("status.ready", status["ready"], "cannot set more ready pods than active")
    yield from _monotonic(job, status, before)


def _uncounted(pods: Obj) -> Iterable[Violation]:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(field) or ()):
            path = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                yield invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _conditions(job: Obj, old: Obj) -> Iterable[Violation]:
    complete, failed, failing, met = (
        condition_is(job, type) for type in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")
    )
    for wrong, told in (
        (complete and failed, "cannot set Complete=True and Failed=true conditions"),
        (complete and failing, "cannot set Complete=True and FailureTarget=true conditions"),
        (
            failed and not failing,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            complete and not met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (met and failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met and failing, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ):
        if wrong:
            yield omitted(_CONDITIONS, told)
    for type in _TERMINAL:
        if condition_is(old, type) and not condition_is(job, type):
            yield omitted(_CONDITIONS, f"cannot disable the terminal {type}=True condition")
    if condition_is(old, "SuccessCriteriaMet") and not met:
        yield omitted(_CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if condition_is(old, "Complete") and not condition_is(old, "SuccessCriteriaMet") and met:
        told = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield omitted(_CONDITIONS, told)


def _times(job: Obj, status: Obj, before: Obj) -> Iterable[Violation]:
    started, ended, path = status.get("startTime"), status.get("completionTime"), "status.completionTime"
    complete = condition_is(job, "Complete")
    if ended and not complete:
        told = "cannot set completionTime when there is no Complete=True condition"
        yield invalid(path, ended, told)
    if complete and not ended:
        yield required(path, "completionTime is required for Complete jobs")
    if started and ended and parse_time(ended) < parse_time(started):
        yield invalid(path, ended, "must be equal to or after `startTime`")
    known = before.get("completionTime")
    if ended and known and parse_time(ended) != parse_time(known):
        yield invalid(path, ended, IMMUTABLE)
    resumed = condition_is({"status": before}, "Suspended") and not condition_is(job, "Suspended")
    runs = not job["spec"].get("suspend") and not resumed
    if before.get("startTime") not in (None, started) and runs:
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")


def _finished(status: Obj) -> Iterable[Violation]:
    for field in ("active", "terminating"):
        if (status.get(field) or 0) > 0:
            yield invalid(f"status.{field}", status[field], f"{field}>0 is invalid for finished job")
    if not status.get("startTime"):
        yield required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if uncounted.get("succeeded") or uncounted.get("failed"):
        yield invalid("status.uncountedTerminatedPods", uncounted, "must be empty for finished job")


def _indexes(spec: Obj, status: Obj, before: Obj) -> Iterable[Violation]:
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions = spec.get("completions")
    if (completed, failed) == (before.get("completedIndexes") or "", before.get("failedIndexes")):
        return
    if completed and spec.get("completionMode") != "Indexed":
        told = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid("status.completedIndexes", completed, told)
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        told = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid("status.failedIndexes", failed, told)
    if completions is None:
        return
    found: list[Sequence[tuple[int, int]]] = []
    for field, text in (("completedIndexes", completed), ("failedIndexes", failed or "")):
        try:
            found.append(index_intervals(text, completions))
        except ValueError as error:
            yield invalid(f"status.{field}", text, f"error parsing {field}: {error}")
            found.append(())
    both = [max(a, c) for a, b in found[0] for c, d in found[1] if a <= d and c <= b]
    if both:
        told = f"failedIndexes and completedIndexes overlap at index: {both[0]}"
        yield invalid("status.failedIndexes", failed, told)


def _monotonic(job: Obj, status: Obj, before: Obj) -> Iterable[Violation]:
    spec = job["spec"]
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed",) if elastic else ("failed", "succeeded"):
        if (status.get(field) or 0) < (before.get(field) or 0):
            yield invalid(f"status.{field}", status.get(field) or 0, f"cannot decrease the {field} counter")
