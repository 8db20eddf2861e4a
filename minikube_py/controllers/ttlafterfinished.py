"""TTL-after-finished controller: deletes Jobs spec.ttlSecondsAfterFinished seconds after they have ended."""

from datetime import datetime, timedelta
from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.controllers.jobs.counting import is_finished
from minikube_py.errors import NotFound
from minikube_py.kinds.batch.job import Job
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition,
    dig,
    is_deleting,
    name_of,
    namespace_of,
    parse_time,
    uid_of,
)


def seconds_left(job: Obj, now: datetime) -> float | None:
    """Seconds until the Job is to be deleted; None where it is not finished or has no TTL."""
    ttl, end = dig(job, "spec.ttlSecondsAfterFinished"), condition(job, is_finished(job))
    if ttl is None or end is None or not end.get("lastTransitionTime"):
        return None
    return (parse_time(end["lastTransitionTime"]) + timedelta(seconds=int(ttl)) - now).total_seconds()


class TtlAfterFinishedController(Controller):
    """Delete each finished Job once its time has come."""

    name: ClassVar[str] = "ttl-after-finished-controller"
    reconciles = Job

    async def reconcile(self, key: Key) -> float | None:
        job = self.cache.get(Job, key)
        if job is None or is_deleting(job):
            return None
        left = seconds_left(job, self.clock.now())
        if left is None or left > 0:
            return left
        fresh = await self.client.get(Job, name_of(job), namespace_of(job))
        if uid_of(fresh) != uid_of(job) or (seconds_left(fresh, self.clock.now()) or 0) > 0:
            return 0.0
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid_of(job)}}
        try:
            await self.client.delete(Job, key, options)
        except NotFound:
            return None
        return None
