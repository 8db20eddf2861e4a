"""How dear a pod is to its ReplicaSet: the annotation that says which pods go first. Pure."""

import re
from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, annotations_of
from minikube_py.meta.violations import invalid

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_NUMBER = re.compile(r"-\d+|0|[1-9]\d*", re.ASCII)


def deletion_cost(pod: Obj) -> int | None:
    """The annotation's value, 0 without it; None where it is no 32-bit number (nor is `+1`, nor `01`)."""
    text = annotations_of(pod).get(DELETION_COST)
    if text is None:
        return 0
    value = int(text) if len(text) <= 20 and _NUMBER.fullmatch(text) else 2**31
    return value if -(2**31) <= value < 2**31 else None


def validate_deletion_cost(pod: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusal of a cost that is no number, unless the pod has had one before."""
    if deletion_cost(pod) is None and (old is None or deletion_cost(old) is not None):
        path = f"metadata.annotations[{DELETION_COST}]"
        yield invalid(path, annotations_of(pod)[DELETION_COST], "must be a 32bit integer")
