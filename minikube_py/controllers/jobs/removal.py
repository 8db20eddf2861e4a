"""Which running pods a Job takes away: of indexes that it has no more, doubles, then what is too many. Pure."""

from collections.abc import Sequence
from datetime import datetime

from minikube_py.controllers.jobs.indexes import index_of, is_indexed
from minikube_py.controllers.jobs.podsets import PodSet
from minikube_py.controllers.pods import removal_order
from minikube_py.meta.objects import Obj, dig


def surplus(job: Obj, pods: PodSet, too_many: int, now: datetime) -> list[Obj]:
    """The pods to delete of those of `pods` that run: at least `too_many`."""
    doubled = is_indexed(job) and pods.has_doubles(int(dig(job, "spec.completions", 0)))
    if not too_many and not doubled:
        return []
    running = list(pods.active.values())
    gone, left = _unwanted(job, running, now) if doubled else ([], running)
    more = max(0, too_many - len(gone))
    return gone + removal_order(left, left, now)[:more]


def _unwanted(job: Obj, running: Sequence[Obj], now: datetime) -> tuple[list[Obj], list[Obj]]:
    """The pods whose index is none of the Job's, or that another one has too; and the others."""
    completions, kept = int(dig(job, "spec.completions", 0)), dict[int, Obj]()
    gone = []
    for pod in reversed(removal_order(running, running, now)):  # of doubles the best one stays
        index = index_of(pod)
        if index is None or index >= completions or index in kept:
            gone.append(pod)
        else:
            kept[index] = pod
    return gone, list(kept.values())
