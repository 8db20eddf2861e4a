"""The policies of a Job, what may change while it waits, and what its status may say."""

from typing import Any

import pytest
from kind_objects import container, created, meta, refusals

from minikube_py.kinds.batch.job import Job
from minikube_py.meta.objects import Obj, copy

RULES = "spec.podFailurePolicy.rules"
SUCCESS = "spec.successPolicy.rules"


def job(pod: Obj | None = None, **spec: Any) -> Obj:
    template = {"spec": {"containers": [container()], "restartPolicy": "Never", **(pod or {})}}
    return {"metadata": meta(), "spec": {"template": template, **spec}}


def failure(**rule: Any) -> Obj:
    return job(podFailurePolicy={"rules": [rule]})


def codes(*values: int, operator: str = "In", **more: Any) -> Obj:
    return {"operator": operator, "values": list(values), **more}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (failure(action="FailJob", onExitCodes=codes(1, 2, containerName="main")), []),
        (
            failure(action="FailJob", onExitCodes=codes(0)),
            [f"{RULES}[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"],
        ),
        (
            failure(action="FailJob", onExitCodes=codes(1, containerName="other")),
            [
                f'{RULES}[0].onExitCodes.containerName: Invalid value: "other": '
                "must be one of the container or initContainer names in the pod template"
            ],
        ),
        (
            failure(action="FailJob"),
            [f"{RULES}[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
        ),
        (
            job(backoffLimitPerIndex=1),
            [
                "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            ],
        ),
        (
            job(managedBy="nobody"),
            ['spec.managedBy: Invalid value: "nobody": must be a domain-prefixed path (such as "acme.io/foo")'],
        ),
        (
            job(podReplacementPolicy="Sometimes"),
            [
                'spec.podReplacementPolicy: Unsupported value: "Sometimes": '
                'supported values: "Failed", "TerminatingOrFailed"'
            ],
        ),
        (
            job({"restartPolicy": "Always"}),
            [
                'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            ],
        ),
        (
            job(completionMode="Indexed", parallelism=2),
            [
                "spec.completions: Required value: when completion mode is Indexed",
            ],
        ),
        (
            job(
                completionMode="Indexed", completions=3, successPolicy={"rules": [{"succeededIndexes": "0-4"}]}
            ),
            [
                f'{SUCCESS}[0].succeededIndexes: Invalid value: "0-4": error parsing succeededIndexes: '
                'too large index: "4"'
            ],
        ),
        (
            job(successPolicy={"rules": [{"succeededCount": 1}]}),
            [
                'spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: '
                "requires indexed completion mode"
            ],
        ),
    ],
)
def test_job_refusals(obj: Obj, expected: list[str]) -> None:
    """Policies that contradict the job, and values that are none."""
    assert refusals(Job, obj) == expected


def test_what_of_a_job_changes() -> None:
    """Parallelism always; the template's node selector only while the job waits and has not begun."""
    waiting = created(Job, job(suspend=True))
    running = created(Job, job())
    for old, expected in ((waiting, []), (running, ["spec.template"])):
        wide, placed = copy(old), copy(old)
        wide["spec"]["parallelism"] = 3
        placed["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
        assert refusals(Job, wide, old) == []
        assert [one.partition(": ")[0] for one in refusals(Job, placed, old)] == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"active": 1, "startTime": "2026-01-01T12:00:00Z"}, []),
        ({"active": -1}, ["status.active: must be greater than or equal to 0"]),
        (
            {"succeeded": 1, "completionTime": "2026-01-01T12:00:00Z"},
            [
                "status.completionTime: cannot set completionTime when there is no Complete=True condition",
            ],
        ),
    ],
)
def test_job_status(status: Obj, expected: list[str]) -> None:
    """Counts are not negative; a job has ended only with the condition that says so."""
    old = created(Job, job())
    found = Job.validate_status({**old, "status": status}, old)
    assert [f"{one.field}: {one.message.rpartition(': ')[2]}" for one in found] == expected
