"""Failures of each index of an Indexed Job by itself (spec.backoffLimitPerIndex, KEP-3850). Pure.

How often an index has failed is written on its pods. The last failed pod of an index keeps its tracking
finalizer until its replacement exists or the index has failed for good, so that the number is never lost.
"""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.controllers.jobs.failures import FAIL_INDEX, IGNORE, judge
from minikube_py.controllers.jobs.indexes import index_of
from minikube_py.controllers.pods import ended_at
from minikube_py.meta.objects import Obj, annotations_of, dig

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
BACKOFF_BASE, BACKOFF_LIMIT = 10.0, 600.0
"""Seconds until a failed index is tried again: doubled with each failure, up to the limit."""


def counts_per_index(job: Obj) -> bool:
    return dig(job, "spec.backoffLimitPerIndex") is not None


def counts_on(pod: Obj) -> tuple[int, int]:
    """How often the pod's index had failed before it: the failures that count, and the ignored ones."""
    found = annotations_of(pod)
    return _number(found.get(FAILURES)), _number(found.get(IGNORED))


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else 0


def counts_after(job: Obj, pod: Obj) -> tuple[int, int]:
    """The same with the failure of `pod` itself."""
    failures, ignored = counts_on(pod)
    if dig(pod, "status.phase") == "Failed" and judge(job, pod).action == IGNORE:
        return failures, ignored + 1
    return failures + 1, ignored


def marks(replaced: Obj | None, job: Obj) -> dict[str, str]:
    """The annotations of a new pod of an index, whose last pod is `replaced` (None: it is the first)."""
    failures, ignored = counts_after(job, replaced) if replaced is not None else (0, 0)
    return {FAILURES: str(failures)} | ({IGNORED: str(ignored)} if ignored else {})


def has_index_failed(job: Obj, pod: Obj) -> bool:
    """Whether the failure of `pod` ends its index."""
    if dig(pod, "status.phase") == "Failed" and judge(job, pod).action == FAIL_INDEX:
        return True
    return counts_after(job, pod)[0] > int(dig(job, "spec.backoffLimitPerIndex"))


def newest_failures(failed: Iterable[Obj]) -> dict[int, Obj]:
    """Of failed pods the last one of each index."""
    found: dict[int, Obj] = {}
    for pod in failed:
        index = index_of(pod)
        if index is not None and (index not in found or sum(counts_on(pod)) > sum(counts_on(found[index]))):
            found[index] = pod
    return found


def wait_left(job: Obj, pod: Obj, now: datetime) -> float:
    """Seconds until the index of the failed `pod` may be tried again."""
    failures = counts_after(job, pod)[0]
    if failures == 0:
        return 0.0
    wait = min(BACKOFF_LIMIT, BACKOFF_BASE * 2.0 ** min(failures - 1, 10))
    return max(0.0, wait - (now - (ended_at(pod) or now)).total_seconds())
