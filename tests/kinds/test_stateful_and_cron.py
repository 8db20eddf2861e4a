"""StatefulSet, ReplicationController, PodTemplate and CronJob: defaults, refusals, what may change, columns."""

from typing import Any

import pytest
from kind_objects import container, created, meta, refusals, row, updated, workload

from minikube_py.kinds.apps.statefulset import StatefulSet
from minikube_py.kinds.batch.cronjob import CronJob
from minikube_py.kinds.batch.schedule import parse_schedule
from minikube_py.kinds.core.podtemplate import PodTemplate
from minikube_py.kinds.core.replicationcontroller import ReplicationController
from minikube_py.meta.objects import Obj, copy

SET_FIXED = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
    "are forbidden"
)


def controller(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container()]}}
    return {"metadata": meta(), "spec": {"template": template, **spec}}


def cron(name: str = "web", **spec: Any) -> Obj:
    job = {"template": {"spec": {"containers": [container()], "restartPolicy": "Never"}}}
    given = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job}, **spec}
    return {"metadata": meta(name), "spec": given}


def test_stateful_set_defaults() -> None:
    """One pod after the other, rolled from the last, claims kept."""
    spec = created(StatefulSet, workload("StatefulSet"))["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"], spec["revisionHistoryLimit"]) == (
        1,
        "OrderedReady",
        10,
    )
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"serviceName": "web"}, []),
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"podManagementPolicy": "Random"},
            ["spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            {"selector": None},
            [
                "spec.selector: Required value",
                'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
                "`selector` does not match template `labels`",
            ],
        ),
        (
            {"ordinals": {"start": -1}},
            ["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_stateful_set_refusals(spec: Obj, expected: list[str]) -> None:
    """What a StatefulSet must say."""
    assert refusals(StatefulSet, workload("StatefulSet", **spec)) == expected


def test_what_of_a_stateful_set_changes() -> None:
    """Replicas and the template change and are counted; the service, the selector and the claims do not."""
    old = created(StatefulSet, workload("StatefulSet", serviceName="web"))
    more, moved = copy(old), copy(old)
    more["spec"]["replicas"] = 3
    more["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    moved["spec"]["serviceName"] = "other"
    assert refusals(StatefulSet, more, old) == []
    assert updated(StatefulSet, more, old)["metadata"]["generation"] == 2
    assert refusals(StatefulSet, moved, old) == [SET_FIXED]
    assert row(StatefulSet, {**more, "status": {"readyReplicas": 2}})["Ready"] == "2/3"


def test_replication_controller() -> None:
    """Selector and labels come from the template; more than what the template has selects nothing."""
    stored = created(ReplicationController, controller())
    assert (stored["spec"]["replicas"], stored["spec"]["selector"]) == (1, {"app": "web"})
    assert stored["metadata"]["labels"] == {"app": "web"}
    assert refusals(ReplicationController, controller(selector={"app": "db"})) == [
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
        "`selector` does not match template `labels`"
    ]
    cells = row(ReplicationController, {**stored, "status": {"replicas": 1}})
    assert list(cells) == ["Name", "Desired", "Current", "Ready", "Age", "Containers", "Images", "Selector"]
    assert (cells["Desired"], cells["Current"], cells["Ready"], cells["Selector"]) == (1, 1, 0, "app=web")


def test_pod_template() -> None:
    """The template of a PodTemplate gets a pod's defaults and is judged as a pod."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container()]}}
    stored = created(PodTemplate, {"metadata": meta(), "template": template})
    assert stored["template"]["spec"]["restartPolicy"] == "Always"
    assert refusals(PodTemplate, {"metadata": meta(), "template": {"spec": {"containers": []}}}) == [
        "template.spec.containers: Required value"
    ]
    cells = row(PodTemplate, stored)
    assert (cells["Containers"], cells["Images"], cells["Pod Labels"]) == ("main", "nginx:1.27", "app=web")


def test_cron_job_defaults() -> None:
    """Jobs may overlap; three that went well and one that failed are kept."""
    spec = created(CronJob, cron())["spec"]
    kept = {key: value for key, value in spec.items() if key not in ("schedule", "jobTemplate")}
    assert kept == {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (cron(), []),
        (cron(schedule="@daily", timeZone="Europe/Zurich"), []),
        (cron("x" * 53), [f'metadata.name: Invalid value: "{"x" * 53}": must be no more than 52 bytes']),
        (cron(schedule=""), ["spec.schedule: Required value"]),
        (
            cron(schedule="* * *"),
            ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
        ),
        (
            cron(schedule="61 * * * *"),
            ['spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'],
        ),
        (
            cron(schedule="TZ=UTC 0 * * * *"),
            [
                'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": '
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            ],
        ),
        (
            cron(timeZone="Mars/North"),
            ['spec.timeZone: Invalid value: "Mars/North": unknown time zone Mars/North']),
        (
            cron(timeZone="Local"),
            ['spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
             "https://www.iana.org/time-zones"],
        ),
        (
            cron(concurrencyPolicy="Maybe"),
            ['spec.concurrencyPolicy: Unsupported value: "Maybe": '
             'supported values: "Allow", "Forbid", "Replace"'],
        ),
        (
            cron(startingDeadlineSeconds=-1),
            ["spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)  # fmt: skip
def test_cron_job_refusals(obj: Obj, expected: list[str]) -> None:
    """Schedules, time zones, names and policies that are none."""
    assert refusals(CronJob, obj) == expected


def test_cron_job_columns() -> None:
    """Schedule, time zone, whether it rests, how many run and when the last began."""
    cells = row(CronJob, created(CronJob, cron(timeZone="Etc/UTC")))
    assert list(cells.values())[1:6] == ["*/5 * * * *", "Etc/UTC", "False", 0, "<none>"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 4 * * mon-fri", ({0}, {4}, set(range(1, 32)), set(range(1, 13)), {1, 2, 3, 4, 5})),
        ("*/20 1-5/2 1,15 jan ?", ({0, 20, 40}, {1, 3, 5}, {1, 15}, {1}, set(range(7)))),
        ("@yearly", ({0}, {0}, {1}, {1}, set(range(7)))),
    ],
)
def test_schedules(text: str, expected: tuple[set[int], ...]) -> None:
    """Fields, ranges, steps, names and words."""
    assert parse_schedule(text)[:5] == expected
