"""What a CronJob's Jobs look like, which of them are active, and which finished ones go. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from minikube_py.controllers.cronjobs.times import Missed, latest_missed
from minikube_py.controllers.jobs.counting import is_finished
from minikube_py.controllers.pods import created_at
from minikube_py.kinds.batch.schedule import Schedule
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    copy,
    dig,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    parse_time,
    timestamp,
    uid_of,
)

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the controller finds: the status that follows, and what there is to tell."""

    status: Obj
    completed: Sequence[Obj]
    strangers: Sequence[Obj]
    missing: Sequence[Obj]


def job_name(cron_job: Obj, due: datetime) -> str:
    """The name of the Job for one time: the same for whoever makes it, so that it is made once."""
    return f"{name_of(cron_job)}-{int(due.timestamp()) // 60}"


def new_job(cron_job: Obj, due: datetime) -> Obj:
    """The Job that is due."""
    template = cron_job["spec"]["jobTemplate"]
    zone = dig(cron_job, "spec.timeZone") or "UTC"
    there = due.astimezone(ZoneInfo(zone))
    told = there.isoformat(timespec="seconds") if there.utcoffset() else timestamp(due)
    meta = {
        "name": job_name(cron_job, due),
        "namespace": namespace_of(cron_job),
        "labels": dict(labels_of(template)),
        "annotations": {**annotations_of(template), SCHEDULED: told},
        "ownerReferences": [owner_reference(cron_job)],
    }
    spec = copy(template.get("spec") or {})
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def reference(job: Obj) -> Obj:
    """The entry of status.active for a Job."""
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }


def look(cron_job: Obj, jobs: Sequence[Obj], pruned: Collection[str] = ()) -> Sight:
    """What the Jobs of a CronJob say of it; `pruned` are the uids of finished ones that were just deleted, of
    which nothing is told but their success."""
    status = dict(cron_job.get("status") or {})
    active = {ref["uid"]: ref for ref in status.get("active") or () if ref["uid"] not in pruned}
    completed, strangers = [], []
    for job in sorted(jobs, key=created_at):
        end = is_finished(job)
        if not end and uid_of(job) not in active:
            strangers.append(job)
        elif end and uid_of(job) in active:
            completed.append(job)
            del active[uid_of(job)]
        if end == "Complete":
            _note_success(status, job)
    alive = {uid_of(job) for job in jobs}
    missing = [ref for ref in active.values() if ref["uid"] not in alive]
    kept = [ref for ref in active.values() if ref["uid"] in alive]
    status.pop("active", None)
    return Sight(status | ({"active": kept} if kept else {}), completed, strangers, missing)


def _note_success(status: Obj, job: Obj) -> None:
    ended, known = dig(job, "status.completionTime"), status.get("lastSuccessfulTime")
    if ended and (not known or parse_time(ended) > parse_time(known)):
        status["lastSuccessfulTime"] = ended


def missed(cron_job: Obj, schedule: Schedule, now: datetime) -> Missed:
    """The time that a Job is due for now: the latest since the last one made, not older than the deadline."""
    since = dig(cron_job, "status.lastScheduleTime") or created_at(cron_job)
    earliest = parse_time(since)
    deadline = dig(cron_job, "spec.startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=int(deadline)))
    return latest_missed(schedule, earliest, now, dig(cron_job, "spec.timeZone") or "UTC")


def surplus(cron_job: Obj, jobs: Iterable[Obj]) -> list[Obj]:
    """The finished Jobs beyond the history limits, the oldest first."""
    gone: list[Obj] = []
    for end, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        limit = dig(cron_job, f"spec.{field}")
        ended = sorted((job for job in jobs if is_finished(job) == end), key=_started)
        gone += [] if limit is None else ended[: max(0, len(ended) - int(limit))]
    return gone


def _started(job: Obj) -> tuple[str, str]:
    return str(dig(job, "status.startTime", "")), name_of(job)
