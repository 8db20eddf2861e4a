"""How a claim that asks for more than its volume holds gets it, step by step. Pure.

As KEP-284 and KEP-1790 say: what is under way stands in the claim's status (condition Resizing,
allocatedResources, allocatedResourceStatuses), the volume's capacity grows, and then the claim's. Each step
follows from what the objects say, so that a crash between two is made good by the next look.
"""

from datetime import datetime
from enum import Enum

from minikube_py.kinds.core.volumematching import capacity, refers_to, requested
from minikube_py.kinds.storage.localpath import is_local_path
from minikube_py.meta.objects import Obj, condition_is, dig, with_condition
from minikube_py.meta.quantity import int_value

IN_PROGRESS = "ControllerResizeInProgress"
CONDITIONS = ("Resizing", "FileSystemResizePending", "ControllerResizeError", "NodeResizeError")


class Step(Enum):
    """What comes next for a claim."""

    NOTHING = "nothing"
    ELSEWHERE = "elsewhere"  # an external resizer does it
    BEGIN = "begin"
    GROW = "grow"
    FINISH = "finish"


def next_step(claim: Obj, volume: Obj | None) -> Step:
    """What comes next for a claim and the volume that it names."""
    if volume is None or dig(claim, "status.phase") != "Bound" or not refers_to(volume, claim):
        return Step.NOTHING
    if requested(claim) <= int_value(dig(claim, "status.capacity.storage", "0")):
        return Step.NOTHING
    if not is_local_path(volume):
        return Step.ELSEWHERE
    if capacity(volume) >= requested(claim):
        return Step.FINISH
    allocated = int_value(dig(claim, "status.allocatedResources.storage", "0"))
    return Step.GROW if condition_is(claim, "Resizing") and allocated == requested(claim) else Step.BEGIN


def begun(claim: Obj, now: datetime) -> Obj:
    """The status of a claim whose volume grows from now on."""
    status = claim["status"]
    wanted = dig(claim, "spec.resources.requests.storage")
    return {
        **status,
        "allocatedResources": {**(status.get("allocatedResources") or {}), "storage": wanted},
        "allocatedResourceStatuses": {
            **(status.get("allocatedResourceStatuses") or {}),
            "storage": IN_PROGRESS,
        },
        "conditions": with_condition(
            status.get("conditions") or [], {"type": "Resizing", "status": "True"}, now
        ),
    }


def grown(volume: Obj, claim: Obj) -> Obj:
    """The volume with the capacity that the claim asks for."""
    size = {**volume["spec"]["capacity"], "storage": dig(claim, "spec.resources.requests.storage")}
    return {**volume, "spec": {**volume["spec"], "capacity": size}}


def finished(claim: Obj, volume: Obj) -> Obj:
    """The status of a claim whose volume has grown; how much was allocated stays told."""
    size = volume["spec"]["capacity"]["storage"]
    status = {**claim["status"], "capacity": {**(dig(claim, "status.capacity") or {}), "storage": size}}
    status["allocatedResources"] = {**(status.get("allocatedResources") or {}), "storage": size}
    states = dict(status.pop("allocatedResourceStatuses", None) or {})
    states.pop("storage", None)
    conditions = [one for one in status.pop("conditions", None) or () if one["type"] not in CONDITIONS]
    return status | {
        key: value
        for key, value in (("allocatedResourceStatuses", states), ("conditions", conditions))
        if value
    }
