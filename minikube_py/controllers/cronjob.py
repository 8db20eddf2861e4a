"""CronJob controller: makes a Job at each time of a schedule."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.controllers.cronjobs import plan
from minikube_py.controllers.cronjobs.times import Missed, next_after
from minikube_py.controllers.jobs.counting import is_finished
from minikube_py.controllers.podcontrol import namespace_terminating
from minikube_py.controllers.pods import created_at
from minikube_py.errors import AlreadyExists, ApiError, NotFound
from minikube_py.kinds.batch.cronjob import CronJob
from minikube_py.kinds.batch.job import Job
from minikube_py.kinds.batch.schedule import Schedule, is_time_zone, parse_schedule
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    dig,
    is_deleting,
    key_of,
    name_of,
    parse_time,
    timestamp,
    uid_of,
)

LATE = 0.1
"""Seconds after a time is due that it is looked at: clocks that differ a little must not look too early."""


class CronJobController(Controller):
    """Make each CronJob's Jobs when they are due, and remove old ones."""

    name: ClassVar[str] = "cronjob-controller"
    reconciles, owns = CronJob, (Job,)

    async def reconcile(self, key: Key) -> float | None:
        cron_job = self.cache.get(CronJob, key)
        if cron_job is None:
            return None
        jobs = self._jobs(cron_job)
        sight = plan.look(cron_job, jobs, await self._prune(cron_job, jobs))
        self._tell(cron_job, sight)
        status = sight.status
        again = None
        if not is_deleting(cron_job) and not dig(cron_job, "spec.suspend"):
            schedule = self._schedule(cron_job)
            if schedule is not None:
                status = await self._start_due(cron_job, schedule, status)
                again = self._until_next(cron_job, schedule)
        await self.set_status(CronJob, cron_job, status)
        return again

    def _jobs(self, cron_job: Obj) -> list[Obj]:
        owned = self.cache.owned(Job, uid_of(cron_job))
        return [job for job in owned if (controller_of(job) or {}).get("uid") == uid_of(cron_job)]

    async def _prune(self, cron_job: Obj, jobs: Sequence[Obj]) -> set[str]:
        """Delete the finished Jobs beyond the history limits; their uids."""
        gone = plan.surplus(cron_job, [job for job in jobs if not is_deleting(job)])
        for job in gone:
            await self._delete(cron_job, key_of(job), uid_of(job))
        return {uid_of(job) for job in gone}

    async def _delete(self, cron_job: Obj, key: Key, uid: str) -> None:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self.client.delete(Job, key, options)
        except NotFound:
            return
        except ApiError as error:
            self.events.record(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        self.events.record(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {key.name}")

    def _tell(self, cron_job: Obj, sight: plan.Sight) -> None:
        for job in sight.completed:
            message = f"Saw completed job: {name_of(job)}, condition: {is_finished(job)}"
            self.events.record(cron_job, "Normal", "SawCompletedJob", message)
        for job in sight.strangers:
            message = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
            self.events.record(cron_job, "Warning", "UnexpectedJob", message)
        for ref in sight.missing:
            self.events.record(cron_job, "Normal", "MissingJob", f"Active job went missing: {ref['name']}")

    def _schedule(self, cron_job: Obj) -> Schedule | None:
        """The schedule; None, and an event, where it makes no sense."""
        text, zone = cron_job["spec"]["schedule"], dig(cron_job, "spec.timeZone")
        if zone and not is_time_zone(zone):
            message = f'invalid timeZone: "{zone}": unknown time zone {zone}'
            self.events.record(cron_job, "Warning", "UnknownTimeZone", message)
            return None
        try:
            schedule = parse_schedule(text)
        except ValueError as error:
            message = f'unparseable schedule: "{text}" : {error}'
            self.events.record(cron_job, "Warning", "UnparseableSchedule", message)
            return None
        if schedule.zone:
            message = (
                f'CRON_TZ or TZ used in schedule "{text}" is not officially supported, see '
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self.events.record(cron_job, "Warning", "UnsupportedSchedule", message)
        return schedule

    async def _start_due(self, cron_job: Obj, schedule: Schedule, status: Obj) -> Obj:
        """Make the Job that is due, if any; the status with it."""
        now = self.clock.now()
        found = plan.missed(cron_job, schedule, now)
        self._tell_missed(cron_job, found)
        due = found.at
        if due is None or timestamp(due) == status.get("lastScheduleTime"):
            return status
        active = status.get("active") or []
        if self._too_late(cron_job, due, now):
            when = format_datetime(due)
            self.events.record(
                cron_job, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {when}"
            )
            return status
        if any(ref["name"] == plan.job_name(cron_job, due) for ref in active):
            return status
        policy = dig(cron_job, "spec.concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.events.record(cron_job, "Normal", "JobAlreadyActive", message)
            return status
        if policy == "Replace":
            for ref in active:
                await self._delete(cron_job, Key(ref["namespace"], ref["name"]), ref["uid"])
            active = []
        made = await self._create(cron_job, due)
        listed = [*active, plan.reference(made)] if made is not None else active
        status = {field: value for field, value in status.items() if field != "active"}
        return status | {"lastScheduleTime": timestamp(due)} | ({"active": listed} if listed else {})

    def _tell_missed(self, cron_job: Obj, found: Missed) -> None:
        if found.too_many:
            message = (
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            )
            self.events.record(cron_job, "Warning", "TooManyMissedTimes", message)
        if found.never:
            told = "time difference between two schedules is less than 1 second"
            message = f"invalid schedule: {cron_job['spec']['schedule']} : {told}"
            self.events.record(cron_job, "Warning", "InvalidSchedule", message)

    def _too_late(self, cron_job: Obj, due: datetime, now: datetime) -> bool:
        deadline = dig(cron_job, "spec.startingDeadlineSeconds")
        return deadline is not None and (now - due).total_seconds() > int(deadline)

    async def _create(self, cron_job: Obj, due: datetime) -> Obj | None:
        """The Job for `due`, made now or before; None where another's has its name, or its namespace ends."""
        wanted = plan.new_job(cron_job, due)
        try:
            made = await self.client.create(Job, wanted)
        except AlreadyExists:
            found = await self.client.get(Job, name_of(wanted), wanted["metadata"]["namespace"])
            mine = (controller_of(found) or {}).get("uid") == uid_of(cron_job)
            return found if mine and not is_finished(found) else None
        except ApiError as error:
            if namespace_terminating(error):
                return None
            self.events.record(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.events.record(cron_job, "Normal", "SuccessfulCreate", f"Created job {name_of(made)}")
        return made

    def _until_next(self, cron_job: Obj, schedule: Schedule) -> float | None:
        now = self.clock.now()
        base = now
        if schedule.every:  # counted from the last time, not from now
            last = plan.missed(cron_job, schedule, now).at
            base = last or parse_time(dig(cron_job, "status.lastScheduleTime") or created_at(cron_job))
        due = next_after(schedule, base, dig(cron_job, "spec.timeZone") or "UTC")
        return None if due is None else max(0.0, (due - now).total_seconds()) + LATE
