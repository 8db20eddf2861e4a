"""Events live for an hour after they were last seen; a sweep once a minute removes the others."""

from datetime import datetime, timedelta

from minikube_py.meta.objects import Obj, copy, dig, parse_time
from minikube_py.registry.entries import decoded, encoding
from minikube_py.registry.pipeline import Pipeline
from minikube_py.store.base import Delete, RevisionMismatch

PREFIX = "/registry/events/"
LIFETIME = timedelta(hours=1)
AT_ONCE = 200
"""Events that one commit removes."""
_SEEN = ("lastTimestamp", "series.lastObservedTime", "eventTime", "metadata.creationTimestamp")


def last_seen(event: Obj) -> datetime | None:
    """When the event last happened, by whichever of its times is the latest; None where it has none."""
    times = []
    for path in _SEEN:
        try:
            times.append(parse_time(dig(event, path)))
        except (TypeError, ValueError, AttributeError):
            continue
    return max(times, default=None)


async def sweep(pipeline: Pipeline) -> int:
    """Remove the events whose time is over; how many. One that changes meanwhile is left to the next sweep."""
    limit, removed, after = pipeline.clock.now() - LIFETIME, 0, ""
    while True:
        page = pipeline.store.list(PREFIX, after=after, limit=AT_ONCE)
        old = [e for e in page.entries if (seen := last_seen(decoded(e))) is not None and seen <= limit]
        if old:
            try:
                await pipeline.commit(
                    [Delete(entry.key, entry.revision, encoding(copy(decoded(entry)))) for entry in old]
                )
                removed += len(old)
            except RevisionMismatch:
                pass
        if not page.remaining:
            return removed
        after = page.entries[-1].key
        await pipeline.clock.sleep(0)
