"""CronJob: makes a Job at each time of a schedule."""

import re
from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.batch.jobspec import validate_job_spec
from minikube_py.kinds.batch.schedule import is_time_zone, parse_schedule
from minikube_py.kinds.columns import AGE, NAME, NONE, UNSET, selector_text, since, text
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.strategy import fresh_status, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import max_length_error
from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.meta.violations import invalid, non_negative, not_supported, required

_JOB_DEFAULTS: Obj = {"completionMode": "NonIndexed"}
"""What a Job's template leaves to the Job's own defaults, and its validation needs."""


_POLICIES = ("Allow", "Forbid", "Replace")
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}", re.ASCII)
_MAX_NAME = 52
"""A Job's name is the CronJob's with 11 characters more, and at most 63 long."""


def default(cron_job: Obj) -> None:
    spec = section(cron_job, "spec")
    if_empty(spec, "concurrencyPolicy", "Allow")
    if_absent(spec, "suspend", False)
    if_absent(spec, "successfulJobsHistoryLimit", 3)
    if_absent(spec, "failedJobsHistoryLimit", 1)
    job = section(spec, "jobTemplate")
    section(job, "metadata")
    default_template(job)


def validate(cron_job: Obj, old: Obj | None) -> Iterable[Violation]:
    spec, before = cron_job["spec"], None if old is None else old["spec"]
    if spec == before:
        return
    yield from _schedule(spec, before)
    yield from non_negative(cron_job, "spec.startingDeadlineSeconds")
    zone = spec.get("timeZone")
    if zone is not None and (before is None or zone != before.get("timeZone")):
        yield from _time_zone(zone)
    if spec["concurrencyPolicy"] not in _POLICIES:
        yield not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], _POLICIES)
    job, path = spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"
    yield from validate_job_spec({**_JOB_DEFAULTS, **job}, path)
    if job.get("selector") is not None:
        yield invalid(f"{path}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield not_supported(f"{path}.manualSelector", True, ("nil", "false"))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from non_negative(cron_job, f"spec.{field}")
    if old is None and len(name_of(cron_job)) > _MAX_NAME:
        yield invalid("metadata.name", name_of(cron_job), max_length_error(_MAX_NAME))


def _schedule(spec: Obj, old: Obj | None) -> Iterable[Violation]:
    schedule, path = spec.get("schedule") or "", "spec.schedule"
    if not schedule:
        yield required(path)
        return
    try:
        parse_schedule(schedule)
    except ValueError as error:
        yield invalid(path, schedule, str(error))
    if "TZ" not in schedule:
        return
    if "TZ" not in ((old or {}).get("schedule") or ""):
        yield invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif spec.get("timeZone") is not None:
        yield invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _time_zone(zone: str) -> Iterable[Violation]:
    path = "spec.timeZone"
    if not zone:
        yield invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    parts = zone.split("/")
    if any(p in (".", "..") or p.startswith("-") or not _ZONE_PART.fullmatch(p) for p in parts):
        yield invalid(path, zone, f"unknown time zone {zone}")
        return
    if zone.lower() == "local":
        told = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid(path, zone, told)
    if zone != "Local" and not is_time_zone(zone):
        yield invalid(path, zone, f"unknown time zone {zone}")


def _zone(cron_job: Obj, now: datetime) -> str:
    zone = dig(cron_job, "spec.timeZone")
    return NONE if zone is None else zone


def _suspended(cron_job: Obj, now: datetime) -> str:
    found = dig(cron_job, "spec.suspend")
    return UNSET if found is None else str(bool(found))


def _active(cron_job: Obj, now: datetime) -> int:
    return len(dig(cron_job, "status.active", ()))


def _last(cron_job: Obj, now: datetime) -> str:
    last = dig(cron_job, "status.lastScheduleTime")
    return since(last, now) if last else NONE


def _containers(field: str) -> Column:
    def cell(cron_job: Obj, now: datetime) -> str:
        containers = dig(cron_job, "spec.jobTemplate.spec.template.spec.containers", ())
        return ",".join(container.get(field, "") for container in containers)

    title = {"name": "Containers", "image": "Images"}[field]
    return Column(title, cell, priority=1, description=f"The {field} of each container in the template.")


def _selector(cron_job: Obj, now: datetime) -> str:
    return selector_text(dig(cron_job, "spec.jobTemplate.spec.selector")) or NONE


CronJob = Kind(
    "CronJob",
    "batch/v1",
    "cronjobs",
    short_names=("cj",),
    categories=("all",),
    subresources=("status",),
    default=default,
    prepare=fresh_status,
    validate=validate,
    warn=template_warnings("spec.jobTemplate.spec.template", names_pods=True),
    columns=(
        NAME,
        Column("Schedule", text("spec.schedule"), description="When it makes Jobs, as cron says it"),
        Column("Timezone", _zone, description="The time zone of the schedule"),
        Column("Suspend", _suspended, "boolean", description="Whether no Jobs are made"),
        Column("Active", _active, "integer", description="Jobs that run"),
        Column("Last Schedule", _last, description="Time since a Job was last due"),
        AGE,
        _containers("name"),
        _containers("image"),
        Column("Selector", _selector, priority=1, description="Label selector of the pods"),
    ),
)
