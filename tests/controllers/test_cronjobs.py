"""CronJobs: when they are due, and what becomes of their Jobs in virtual time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from minikube_py.controllers.cronjobs.times import MANY, latest_missed, next_after
from minikube_py.kinds.batch.cronjob import CronJob
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.batch.schedule import parse_schedule
from minikube_py.meta.objects import Obj, annotations_of, dig, labels_of, owner_references


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "moment", "expected"),
    [
        ("*/5 * * * *", "UTC", "2026-01-01T10:03:20", "2026-01-01T10:05:00"),
        ("*/5 * * * *", "UTC", "2026-01-01T10:05:00", "2026-01-01T10:10:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("30 2 30 2 *", "UTC", "2026-01-01T00:00:00", None),
        ("0 12 13 * 5", "UTC", "2026-01-01T00:00:00", "2026-01-02T12:00:00"),
        ("0 12 * * 1", "UTC", "2026-01-01T00:00:00", "2026-01-05T12:00:00"),
        ("@daily", "Asia/Tokyo", "2026-01-01T00:00:00", "2026-01-01T15:00:00"),
        ("30 2 * * *", "America/New_York", "2026-03-08T06:00:00", "2026-03-09T06:30:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30:00", "2026-11-01T06:30:00"),
        ("@every 90s", "UTC", "2026-01-01T00:00:10", "2026-01-01T00:01:40"),
        ("TZ=Asia/Tokyo 0 9 * * *", "UTC", "2026-01-01T00:30:00", "2026-01-02T00:00:00"),
    ],
)
def test_the_next_time(schedule: str, zone: str, moment: str, expected: str | None) -> None:
    """The next time that a schedule is due, across leap years and changes of the clock."""
    found = next_after(parse_schedule(schedule), at(moment), zone)
    assert found == (at(expected) if expected else None)


@pytest.mark.parametrize(
    ("schedule", "earliest", "now", "expected", "too_many"),
    [
        ("* * * * *", "2026-01-01T00:00:30", "2026-01-01T00:00:40", None, False),
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00", "2026-01-01T00:01:00", False),
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:30:59", "2026-01-01T00:30:00", False),
        ("* * * * *", "2026-01-01T00:00:00", "2026-02-01T00:00:30", "2026-02-01T00:00:00", True),
        ("0 0 1 * *", "2026-01-02T00:00:00", "2027-01-20T00:00:00", "2027-01-01T00:00:00", False),
        ("@every 10s", "2026-01-01T00:00:05", "2026-01-01T00:00:38", "2026-01-01T00:00:35", False),
        ("@every 1s", "2026-01-01T00:00:00", "2026-01-01T00:10:00", "2026-01-01T00:10:00", True),
    ],
)
def test_the_latest_missed_time(
    schedule: str, earliest: str, now: str, expected: str | None, too_many: bool
) -> None:
    """Of the times missed, the latest counts; more than a hundred are worth a warning."""
    found = latest_missed(parse_schedule(schedule), at(earliest), at(now))
    assert (found.at, found.too_many) == (at(expected) if expected else None, too_many)
    assert MANY == 100


def cron(image: str = "work:1", **spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    template = {"metadata": {"labels": {"app": "tick"}}, "spec": {"template": {"spec": pod}}}
    return {
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "* * * * *", "jobTemplate": template, **spec},
    }


async def test_a_job_each_minute(world: Any) -> None:
    """Each minute makes a Job; finished ones are kept up to the limits; suspended, there are no more."""
    world.agent.images["work:1"] = "succeed"
    await world.add_node("n1")
    await world.create(CronJob, cron(successfulJobsHistoryLimit=2))
    assert world.names(Job) == []
    await world.pass_time(61)
    job = world.the(Job, world.names(Job)[0])
    assert (labels_of(job)["app"], [ref["kind"] for ref in owner_references(job)]) == ("tick", ["CronJob"])
    assert annotations_of(job)["batch.kubernetes.io/cronjob-scheduled-timestamp"].endswith(":00Z")
    await world.pass_time(180)
    assert len(world.names(Job)) == 2
    status = world.the(CronJob, "tick")["status"]
    assert (status.get("active"), bool(status["lastSuccessfulTime"])) == (None, True)
    await world.patch(CronJob, "tick", {"spec": {"suspend": True}})
    last = world.the(CronJob, "tick")["status"]["lastScheduleTime"]
    await world.pass_time(120)
    assert world.the(CronJob, "tick")["status"]["lastScheduleTime"] == last


@pytest.mark.parametrize(("policy", "expected"), [("Allow", 3), ("Forbid", 1), ("Replace", 1)])
async def test_concurrency(world: Any, policy: str, expected: int) -> None:
    """Allow lets Jobs overlap, Forbid leaves out those due meanwhile, Replace ends the old one first."""
    await world.add_node("n1")
    await world.create(CronJob, cron("ok:1", concurrencyPolicy=policy))
    await world.pass_time(61)
    first = world.names(Job)
    await world.pass_time(120)
    assert len(world.names(Job)) == expected
    assert (first[0] in world.names(Job)) is (policy != "Replace")
    assert len(dig(world.the(CronJob, "tick"), "status.active")) == expected


async def test_a_deleted_job_leaves_the_list(world: Any) -> None:
    """A Job that somebody deletes is active no more, and the CronJob says that it is missing."""
    await world.add_node("n1")
    await world.create(CronJob, cron("ok:1", concurrencyPolicy="Forbid"))
    await world.pass_time(61)
    (job,) = world.names(Job)
    await world.delete(Job, job, propagationPolicy="Foreground")
    await world.pass_time(1)
    assert dig(world.the(CronJob, "tick"), "status.active") is None
    assert world.events("MissingJob") == [f"Active job went missing: {job}"]


async def test_a_limit_of_zero_keeps_no_job(world: Any) -> None:
    """Without history a Job goes as soon as it has ended: a success, and not a Job that is missing."""
    world.agent.images["work:1"] = "succeed"
    await world.add_node("n1")
    await world.create(CronJob, cron(successfulJobsHistoryLimit=0))
    await world.pass_time(90)
    status = world.the(CronJob, "tick")["status"]
    assert (world.names(Job), status.get("active"), bool(status["lastSuccessfulTime"])) == ([], None, True)
    assert len(world.events("SuccessfulDelete")) == 1
    assert world.events("MissingJob") == []


async def test_after_a_pause_one_job_makes_up(world: Any) -> None:
    """A CronJob that was suspended makes one Job for the latest time it missed, not one for each."""
    await world.create(CronJob, cron(suspend=True))
    await world.pass_time(300)
    assert world.names(Job) == []
    await world.patch(CronJob, "tick", {"spec": {"suspend": False}})
    assert len(world.names(Job)) == 1


async def test_too_late_is_not_made_up(world: Any) -> None:
    """A time missed longer ago than the starting deadline makes no Job."""
    await world.create(CronJob, cron(suspend=True, schedule="*/5 * * * *", startingDeadlineSeconds=10))
    await world.pass_time(330 - int(world.clock.now().timestamp()) % 300)
    await world.patch(CronJob, "tick", {"spec": {"suspend": False}})
    assert world.names(Job) == []
