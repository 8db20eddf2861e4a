"""How many pods of each owner stand how: counted as they change, so that a run costs what has changed.

A ReplicaSet of thousands of pods is looked at after each change of each of them; to read them all each time
would cost the square of their number. Pods that stand alike are counted together. Pure but for `Standings`.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from minikube_py.client.base import Change
from minikube_py.controllers.pods import is_active, seconds_until_ready_for
from minikube_py.meta.objects import Obj, condition, controller_of, is_deleting, labels_of, parse_time


class Standing(NamedTuple):
    """What an owner must know of a pod."""

    labels: frozenset[tuple[str, str]]
    active: bool
    deleting: bool
    ready: bool
    since: str
    """When it became ready or ceased to be, as metav1.Time; empty where that is not known."""

    def wait(self, min_ready: float, now: datetime) -> float | None:
        """Seconds until the pod has been ready for `min_ready`, 0 where it has been; None: it is not ready."""
        if not self.ready:
            return None
        since = parse_time(self.since) if min_ready and self.since else None
        return seconds_until_ready_for(since, min_ready, now)


Counts = Mapping[Standing, int]
"""How many pods stand how."""


def standing_of(pod: Obj) -> Standing:
    """How `pod` stands."""
    ready = condition(pod, "Ready") or {}
    return Standing(
        frozenset(labels_of(pod).items()),
        is_active(pod),
        is_deleting(pod),
        ready.get("status") == "True",
        ready.get("lastTransitionTime") or "",
    )


class Standings:
    """The pods of all controllers of one kind, by the controller's uid."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._counts: dict[str, Counter[Standing]] = {}

    def of(self, uid: str) -> Counts:
        """How the pods stand that the object `uid` controls."""
        return self._counts.get(uid, {})

    def note(self, change: Change) -> None:
        """Count a pod as it is now."""
        if change.old is not None:
            self._count(change.old, -1)
        if change.type != "DELETED":
            self._count(change.object, 1)

    def _count(self, pod: Obj, number: int) -> None:
        ref = controller_of(pod)
        if ref is None or ref.get("kind") != self._kind:
            return
        counts, standing = self._counts.setdefault(ref["uid"], Counter()), standing_of(pod)
        left = counts[standing] = counts[standing] + number
        if left:
            return
        del counts[standing]
        if not counts:
            del self._counts[ref["uid"]]
