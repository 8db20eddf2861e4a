"""What Jobs count and decide, by tables."""

from datetime import UTC, datetime
from typing import Any

import pytest

from minikube_py.controllers.jobs import counting, failures, indexes
from minikube_py.controllers.jobs.podsets import FINALIZER, PodSet
from minikube_py.meta.objects import Obj

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN = "2025-12-31T00:00:00Z"


def pod(name: str = "p", phase: str = "Running", **more: Any) -> Obj:
    meta = {
        "name": name,
        "namespace": "default",
        "uid": name,
        "creationTimestamp": BEGIN,
        **more.get("meta", {}),
    }
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": BEGIN}
    status = {"phase": phase, "conditions": [ready], **more.get("status", {})}
    return {"metadata": meta, "spec": {"nodeName": "n1"}, "status": status}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", set()), ("0", {0}), ("0,1", {0, 1}), ("0-3,7", {0, 1, 2, 3, 7}), ("1,3,5-7", {1, 3, 5, 6, 7})],
)
def test_indexes(text: str, expected: set[int]) -> None:
    """Indexes survive the way into their text form and back."""
    assert indexes.parse_indexes(text) == expected
    assert indexes.format_indexes(expected) == text


def job(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "j", "namespace": "default", "uid": "j"}, "spec": spec, "status": status or {}}


TRACKED = {"meta": {"finalizers": [FINALIZER]}}


def test_a_job_counts_each_pod_once() -> None:
    """A pod is noted while it has its finalizer, and becomes a number once that is gone."""
    first = counting.tally(
        job(), PodSet([pod("a", phase="Succeeded", **TRACKED), pod("b", phase="Failed", **TRACKED)])
    )
    assert (first.uncounted_succeeded, first.uncounted_failed) == (["a"], ["b"])
    assert len(first.release) == 2
    stored = counting.counts(job(), first)
    again = counting.tally(
        job(stored), PodSet([pod("a", phase="Succeeded", **TRACKED), pod("b", phase="Failed")])
    )
    assert (again.uncounted_succeeded, again.counted_failed, again.new_failures) == (["a"], 1, [])
    last = counting.tally(job(counting.counts(job(), again)), PodSet([pod("b", phase="Failed")]))
    assert (last.counted_succeeded, last.counted_failed, last.release) == (1, 1, [])
    assert counting.counts(job(), last) == {
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "succeeded": 1,
        "failed": 1,
    }


@pytest.mark.parametrize(
    ("found", "spec", "expected"),
    [
        pytest.param(counting.Tally(), {"completions": 1}, None, id="goes-on"),
        pytest.param(
            counting.Tally(counted_succeeded=2), {"completions": 2}, "CompletionsReached", id="enough"
        ),
        pytest.param(counting.Tally(counted_succeeded=1), {}, "CompletionsReached", id="queue-empty"),
        pytest.param(counting.Tally(PodSet([pod()]), counted_succeeded=1), {}, None, id="queue-running"),
        pytest.param(counting.Tally(counted_failed=6), {"completions": 1}, None, id="at-the-limit"),
        pytest.param(counting.Tally(counted_failed=7), {"completions": 1}, "BackoffLimitExceeded", id="beyond"),
        pytest.param(
            counting.Tally(PodSet([pod(status={"containerStatuses": [{"restartCount": 6}]})])),
            {"completions": 1, "template": {"spec": {"restartPolicy": "OnFailure"}}},
            "BackoffLimitExceeded",
            id="restarts-count",
        ),
        pytest.param(counting.Tally(fail_job="why"), {"completions": 1}, "PodFailurePolicy", id="policy"),
        pytest.param(
            counting.Tally(), {"completions": 1, "activeDeadlineSeconds": 5}, "DeadlineExceeded", id="deadline"
        ),
    ],
)
def test_job_verdict(found: counting.Tally, spec: Obj, expected: str | None) -> None:
    """A Job ends by success, too many failures, its policy, or its deadline."""
    verdict = counting.verdict(job({"startTime": BEGIN}, **spec), found, NOW)
    assert (verdict[1] if verdict else None) == expected


@pytest.mark.parametrize(
    ("spec", "succeeded", "active", "expected"),
    [
        ({"parallelism": 2, "completions": 5}, 0, 0, 2),
        ({"parallelism": 4, "completions": 5}, 3, 0, 2),
        ({"parallelism": 3}, 0, 1, 3),
        ({"parallelism": 3}, 1, 1, 1),
        ({"parallelism": 3, "suspend": True}, 0, 3, 0),
    ],
)
def test_job_parallelism(spec: Obj, succeeded: int, active: int, expected: int) -> None:
    """As many pods run as parallelism allows and completions still need."""
    found = counting.Tally(PodSet(pod(str(number)) for number in range(active)), counted_succeeded=succeeded)
    assert counting.wanted_active(job(**spec), found) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}, "Ignore"),
        ({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}, "FailJob"),
        ({"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [3]}}, "Count"),
        (
            {"action": "FailJob", "onExitCodes": {"containerName": "x", "operator": "In", "values": [3]}},
            "Count",
        ),
    ],
)
def test_pod_failure_policy(rule: Obj, expected: str) -> None:
    """The first rule that matches a failed pod says what it means."""
    ended = {"name": "main", "state": {"terminated": {"exitCode": 3}}}
    failed = pod(phase="Failed", status={"containerStatuses": [ended]})
    failed["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})
    assert failures.judge(job(podFailurePolicy={"rules": [rule]}), failed).action == expected
