"""Indexed Jobs: failures counted per index, and success before all indexes have succeeded."""

from typing import Any

import pytest

from minikube_py.controllers.jobs.perindex import (
    FAILURES,
    counts_after,
    has_index_failed,
    marks,
    newest_failures,
)
from minikube_py.controllers.jobs.success import matched_rule
from minikube_py.kinds.batch.job import Job
from minikube_py.meta.objects import Obj, annotations_of, condition, name_of


def job(image: str, **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    mode = {"completionMode": "Indexed", "template": {"spec": pod}}
    return {"metadata": {"name": "work", "namespace": "default"}, "spec": {**mode, **spec}}


def failed(index: int, failures: int, code: int = 1) -> Obj:
    annotations = {"batch.kubernetes.io/job-completion-index": str(index), FAILURES: str(failures)}
    ended = {"name": "main", "state": {"terminated": {"exitCode": code}}}
    return {
        "metadata": {"name": f"work-{index}-{failures}", "namespace": "default", "annotations": annotations},
        "status": {"phase": "Failed", "containerStatuses": [ended]},
    }


RULES = {
    "rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}},
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [4]}},
    ]
}


@pytest.mark.parametrize(
    ("pod", "after", "ends"),
    [
        (failed(0, 0), (1, 0), False),
        (failed(0, 1), (2, 0), True),
        (failed(0, 1, code=3), (1, 1), False),
        (failed(0, 0, code=4), (1, 0), True),
    ],
)
def test_failures_of_an_index(pod: Obj, after: tuple[int, int], ends: bool) -> None:
    """Ignored failures do not count; an index ends beyond its limit, or at once by a FailIndex rule."""
    wanted = job("fail", backoffLimitPerIndex=1, podFailurePolicy=RULES)
    assert (counts_after(wanted, pod), has_index_failed(wanted, pod)) == (after, ends)
    assert marks(pod, wanted)[FAILURES] == str(after[0])


def test_the_newest_failure_of_each_index() -> None:
    """Of several failed pods of an index the one that counts most failures is the last."""
    found = newest_failures([failed(0, 1), failed(0, 2), failed(1, 0), failed(0, 0)])
    assert {index: name_of(pod) for index, pod in found.items()} == {0: "work-0-2", 1: "work-1-0"}


@pytest.mark.parametrize(
    ("rules", "completed", "expected"),
    [
        ([{"succeededCount": 2}], {1}, None),
        ([{"succeededCount": 2}], {1, 4}, 0),
        ([{"succeededIndexes": "0,2"}], {0, 1}, None),
        ([{"succeededIndexes": "0,2"}], {0, 2}, 0),
        ([{"succeededIndexes": "0-9", "succeededCount": 1}], {11}, None),
        ([{"succeededIndexes": "0"}, {"succeededIndexes": "1-3", "succeededCount": 1}], {3}, 1),
    ],
)
def test_success_rules(rules: list[Obj], completed: set[int], expected: int | None) -> None:
    """A rule is met by all its indexes, or by as many of them as it says."""
    assert matched_rule(job("ok", successPolicy={"rules": rules}), completed) == expected


async def test_each_index_has_its_own_limit(world: Any) -> None:
    """Each index is tried again after its own backoff; the Job fails once all have ended."""
    await world.add_node("n1")
    await world.create(Job, job("fail", completions=2, parallelism=2, backoffLimitPerIndex=1))
    assert sorted(annotations_of(pod)[FAILURES] for pod in world.pods()) == ["0", "0"]
    await world.pass_time(9)
    assert len(world.pods()) == 2
    await world.pass_time(4)
    assert sorted(annotations_of(pod)[FAILURES] for pod in world.pods()) == ["0", "0", "1", "1"]
    status = world.the(Job, "work")["status"]
    assert (status["failedIndexes"], status["failed"]) == ("0,1", 4)
    ended = condition(world.the(Job, "work"), "Failed")
    assert ended is not None
    assert (ended["reason"], ended["message"]) == ("FailedIndexes", "Job has failed indexes")


async def test_too_many_failed_indexes(world: Any) -> None:
    """Beyond maxFailedIndexes the Job fails at once."""
    await world.add_node("n1")
    spec = {"completions": 5, "parallelism": 2, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1}
    await world.create(Job, job("fail", **spec))
    ended = condition(world.the(Job, "work"), "Failed")
    assert ended is not None
    assert ended["reason"] == "MaxFailedIndexesExceeded"


async def test_success_by_policy(world: Any) -> None:
    """A Job whose success policy is met is complete, whatever the other indexes do."""
    await world.add_node("n1")
    policy = {"rules": [{"succeededCount": 2}]}
    await world.create(Job, job("succeed", completions=9, parallelism=1, successPolicy=policy))
    await world.pass_time(2)
    status = world.the(Job, "work")["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (2, "0,1")
    ended = condition(world.the(Job, "work"), "Complete")
    assert ended is not None
    assert (ended["reason"], ended["message"]) == ("SuccessPolicy", "Matched rules at index 0")
