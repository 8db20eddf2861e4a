"""The pods of each Job, sorted by what is left to do about them, as they change.

A Job of thousands of pods is looked at after each change of each of them; to read them all each time would cost
the square of their number. Those that run are kept with their indexes, those that ended or end until they are
counted; of the others only a label is of interest. Pure but for `JobPods`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from minikube_py.client.base import Change
from minikube_py.controllers.jobs.indexes import index_of
from minikube_py.controllers.pods import is_active, is_ready
from minikube_py.kinds.batch.job import UID_LABEL
from minikube_py.meta.objects import Obj, controller_of, dig, is_deleting, labels_of, uid_of

FINALIZER = "batch.kubernetes.io/job-tracking"


def is_tracked(pod: Obj) -> bool:
    """Whether the pod is yet to be counted or released."""
    return FINALIZER in (dig(pod, "metadata.finalizers") or ())


class PodSet:
    """Some pods, by uid: `active`, and those `left` to be counted or to end. Of the active ones how many are
    `ready`, and how many have each index; of all how many are `tracked`, and how many have each value of the
    label that selects them."""

    def __init__(self, pods: Iterable[Obj] = ()) -> None:
        self.active: dict[str, Obj] = {}
        self.left: dict[str, Obj] = {}
        self.ready = self.tracked = 0
        self.indexes: Counter[int | None] = Counter()
        self.selected: Counter[str | None] = Counter()
        for pod in pods:
            self.put(pod)

    def __bool__(self) -> bool:
        return bool(self.selected)

    def put(self, pod: Obj) -> None:
        """Add a pod."""
        self._count(pod, 1)
        if is_active(pod):
            self.active[uid_of(pod)] = pod
        elif is_tracked(pod) or is_deleting(pod):
            self.left[uid_of(pod)] = pod

    def drop(self, pod: Obj) -> None:
        """Remove a pod, which must be given just as it was added."""
        self._count(pod, -1)
        self.active.pop(uid_of(pod), None)
        self.left.pop(uid_of(pod), None)

    def _count(self, pod: Obj, number: int) -> None:
        counted: list[tuple[Counter[Any], Any]] = [(self.selected, labels_of(pod).get(UID_LABEL))]
        self.tracked += number * is_tracked(pod)
        if is_active(pod):
            self.ready += number * is_ready(pod)
            counted.append((self.indexes, index_of(pod)))
        for counts, value in counted:
            counts[value] += number
            if not counts[value]:
                del counts[value]

    def has_doubles(self, completions: int) -> bool:
        """Whether an index is that of several active pods, of none that there should be, or missing."""
        indexes = [index for index in self.indexes if index is not None]
        return len(indexes) < len(self.active) or max(indexes, default=-1) >= completions


def told(pod: Obj) -> tuple[object, ...]:
    """All of a pod that its Job depends on."""
    status, meta = pod.get("status") or {}, pod["metadata"]
    conditions = [(c.get("type"), c.get("status")) for c in status.get("conditions") or ()]
    restarts = [
        entry.get("restartCount")
        for group in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(group) or ()
    ]
    owners = meta.get("ownerReferences")
    fields = (status.get("phase"), meta.get("deletionTimestamp"), meta.get("finalizers"), owners)
    return (*fields, labels_of(pod), conditions, restarts, uid_of(pod))


class JobPods:
    """The pods of all Jobs, by the Job's uid."""

    def __init__(self) -> None:
        self._sets: dict[str, PodSet] = {}

    def of(self, uid: str) -> PodSet:
        """The pods that the Job of this uid controls."""
        return self._sets.get(uid) or PodSet()

    def note(self, change: Change) -> bool:
        """Sort a pod anew; whether it is or was that of a Job."""
        before = _job(change.old) if change.old is not None else ""
        if change.old is not None and before:
            known = self._sets[before]
            known.drop(change.old)
            if not known:
                del self._sets[before]
        now = _job(change.object) if change.type != "DELETED" else ""
        if now:
            self._sets.setdefault(now, PodSet()).put(change.object)
        return bool(before or now)


def _job(pod: Obj) -> str:
    """The uid of the Job that controls the pod, empty for none."""
    ref = controller_of(pod)
    return str(ref["uid"]) if ref is not None and ref.get("kind") == "Job" else ""
