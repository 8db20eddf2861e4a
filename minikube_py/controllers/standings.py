"""How many pods of each owner stand how: counted as they change, so that a run costs what has changed.

A ReplicaSet of thousands of pods is looked at after each change of each of them; to read them all each time
would cost the square of their number. Pods that stand alike are counted together. Pure but for `Standings`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from minikube_py.client.base import Change
from minikube_py.controllers.pods import is_active, seconds_until_ready_for
from minikube_py.meta.objects import (
    Obj,
    condition,
    controller_of,
    is_deleting,
    labels_of,
    parse_time,
    uid_of,
)


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


def standing_of(pod: Obj, labels: Collection[str] | None = None) -> Standing:
    """How `pod` stands; `labels` are the keys of those that matter (None: all)."""
    ready, has = condition(pod, "Ready") or {}, labels_of(pod).items()
    return Standing(
        frozenset(has if labels is None else (item for item in has if item[0] in labels)),
        is_active(pod),
        is_deleting(pod),
        ready.get("status") == "True",
        ready.get("lastTransitionTime") or "",
    )


class Standings:
    """The pods of all controllers of one kind, by the controller's uid. Labels that do not matter to it are
    left out, once it is known which do: a label that is another one on each pod would set them all apart."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._counts: dict[str, Counter[Standing]] = {}
        self._labels: dict[str, frozenset[str]] = {}
        self._noted: set[str] = set()  # the uids of the pods that are counted

    def of(self, uid: str) -> Counts:
        """How the pods stand that the object `uid` controls."""
        return self._counts.get(uid, {})

    def note(self, change: Change) -> bool:
        """Count a pod as it is now; whether that makes a difference to its controller, now or before."""
        old = None if change.old is None else self._standing(change.old)
        new = None if change.type == "DELETED" else self._standing(change.object)
        if old == new:
            return False
        (self._noted.discard if new is None else self._noted.add)(uid_of(change.object))
        for found, number in ((old, -1), (new, 1)):
            if found is not None:
                self._count(*found, number)
        return True

    def heed(self, uid: str, labels: Iterable[str] | None, pods: Callable[[], Iterable[Obj]]) -> None:
        """From now on the labels of these keys matter to the object `uid` (None: it is gone, and all do).
        `pods` gives those that name it as an owner; of them those count that were noted, which are as they
        were noted then."""
        heeded = None if labels is None else frozenset(labels)
        if heeded == self._labels.pop(uid, None):
            counted = False
        else:
            counted = self._counts.pop(uid, None) is not None
        if heeded is not None:
            self._labels[uid] = heeded
        for pod in pods() if counted else ():
            found = self._standing(pod) if uid_of(pod) in self._noted else None
            if found is not None and found[0] == uid:
                self._count(*found, 1)

    def _standing(self, pod: Obj) -> tuple[str, Standing] | None:
        """The uid of the pod's controller of this kind, and how the pod stands; None where it has none."""
        ref = controller_of(pod)
        if ref is None or ref.get("kind") != self._kind:
            return None
        return ref["uid"], standing_of(pod, self._labels.get(ref["uid"]))

    def _count(self, uid: str, standing: Standing, number: int) -> None:
        counts = self._counts.setdefault(uid, Counter())
        left = counts[standing] = counts[standing] + number
        if left:
            return
        del counts[standing]
        if not counts:
            del self._counts[uid]
