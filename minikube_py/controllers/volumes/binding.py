"""What a claim, and a volume, needs next for the two to be bound. Pure.

As the PersistentVolume documentation says: a claim is bound to one volume, for good; a volume whose claim is
gone is released and then kept or deleted by its reclaim policy. Each of the two is planned by itself, so that
a crash between any two writes is made good by the next look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from minikube_py.controllers.volumes.hostpaths import undeletable
from minikube_py.kinds.core.accessmodes import CLASS_ANNOTATION, storage_class_of
from minikube_py.kinds.core.volumematching import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    SELECTED_NODE,
    best_match,
    claim_ref,
    mismatch,
    refers_to,
    waits_for_consumer,
)
from minikube_py.meta.objects import Obj, annotations_of, dig, name_of, timestamp, uid_of

Told = tuple[str, str, str]
"""An event: type, reason, message."""


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What to do for a claim: bind it to `bind`, ask for a volume of `provision` (a class), or leave it in
    `phase`; and what to tell."""

    bind: Obj | None = None
    provision: Obj | None = None
    phase: str = "Pending"
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What to do for a volume: its phase, whether its claim is taken from it (`release` of the uid only, or all
    of claimRef), and whether it is to be reclaimed."""

    phase: str = ""
    message: str = ""
    unbind: bool = False
    reclaim: bool = False


def plan_claim(
    claim: Obj, volumes: Sequence[Obj], storage_class: Obj | None, waiting: Sequence[str]
) -> ClaimPlan:
    """For a claim, the volumes and its class; `waiting` are the pods that use it and have no node yet."""
    if BIND_COMPLETED in annotations_of(claim):
        return _plan_bound(claim, volumes)
    name = dig(claim, "spec.volumeName")
    if name:
        return _plan_named(claim, next((v for v in volumes if name_of(v) == name), None))
    delayed = waits_for_consumer(storage_class)
    found = best_match(claim, volumes, only_reserved=delayed)  # the scheduler sets free ones aside
    if found is not None:
        return ClaimPlan(bind=found)
    if delayed and SELECTED_NODE not in annotations_of(claim):
        return ClaimPlan(told=_awaited(waiting))
    if storage_class is not None:
        return ClaimPlan(provision=storage_class)
    wanted = storage_class_of(claim)
    if wanted:
        message = f'storageclass.storage.k8s.io "{wanted}" not found'
        return ClaimPlan(told=("Warning", "ProvisioningFailed", message))
    message = "no persistent volumes available for this claim and no storage class is set"
    return ClaimPlan(told=("Normal", "FailedBinding", message))


def _awaited(pods: Sequence[str]) -> Told:
    """What a claim waits for, whose volume is chosen together with a pod's node."""
    if not pods:
        return ("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    which = f"pods {','.join(pods)}" if len(pods) > 1 else f"pod {pods[0]}"
    return ("Normal", "WaitForPodScheduled", f"waiting for {which} to be scheduled")


def is_classless(claim: Obj) -> bool:
    """Whether a claim that is not bound names no class, and so gets the default one as soon as there is one."""
    names_none = CLASS_ANNOTATION not in annotations_of(claim) and dig(claim, "spec.storageClassName") is None
    return names_none and not dig(claim, "spec.volumeName") and BIND_COMPLETED not in annotations_of(claim)


def _plan_named(claim: Obj, volume: Obj | None) -> ClaimPlan:
    """A claim that names its volume itself, or that a crash left half bound."""
    if volume is None:
        return ClaimPlan()
    if dig(volume, "spec.claimRef") is None:
        wrong = mismatch(volume, claim)
        if wrong:
            message = f'Cannot bind to requested volume "{name_of(volume)}": {wrong}'
            return ClaimPlan(told=("Warning", "VolumeMismatch", message))
        return ClaimPlan(bind=volume)
    if refers_to(volume, claim):
        return ClaimPlan(bind=volume)
    message = f'volume "{name_of(volume)}" already bound to a different claim.'
    return ClaimPlan(told=("Warning", "FailedBinding", message))


def _plan_bound(claim: Obj, volumes: Sequence[Obj]) -> ClaimPlan:
    name = dig(claim, "spec.volumeName")
    if not name:
        message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return ClaimPlan(phase="Lost", told=("Warning", "ClaimLost", message))
    volume = next((v for v in volumes if name_of(v) == name), None)
    if volume is None:
        message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return ClaimPlan(phase="Lost", told=("Warning", "ClaimLost", message))
    if dig(volume, "spec.claimRef") is None or refers_to(volume, claim):
        return ClaimPlan(bind=volume)
    message = "Two claims are bound to the same volume, this one is bound incorrectly"
    return ClaimPlan(phase="Lost", told=("Warning", "ClaimMisbound", message))


def plan_volume(volume: Obj, claim: Obj | None) -> VolumePlan:
    """For a volume and the claim that its claimRef names, where that is there."""
    ref = dig(volume, "spec.claimRef")
    if ref is None or not ref.get("uid"):
        return VolumePlan("Available")
    if claim is None or uid_of(claim) != ref["uid"]:
        if dig(volume, "status.phase") == "Failed":
            return VolumePlan("Failed", dig(volume, "status.message", ""))  # tried before: it is for people now
        return VolumePlan("Released", reclaim=True)
    bound_to = dig(claim, "spec.volumeName")
    if not bound_to:
        return VolumePlan("" if dig(volume, "status.phase") == "Available" else "Bound")
    if bound_to == name_of(volume):
        return VolumePlan("Bound")
    made_for_it = PROVISIONED_BY in annotations_of(volume)
    if made_for_it and dig(volume, "spec.persistentVolumeReclaimPolicy") == "Delete":
        return VolumePlan("Released", reclaim=True)
    return VolumePlan("Available", unbind=True)


def bound_volume(volume: Obj, claim: Obj) -> Obj:
    """The volume with its claimRef; the same object where it is bound already."""
    ref = dig(volume, "spec.claimRef")
    if ref is not None and ref.get("uid") == uid_of(claim):
        return volume
    meta = volume["metadata"]
    if ref is None:
        meta = {**meta, "annotations": {**annotations_of(volume), BOUND_BY_CONTROLLER: "yes"}}
    return {**volume, "metadata": meta, "spec": {**volume["spec"], "claimRef": claim_ref(claim)}}


def bound_claim(claim: Obj, volume: Obj) -> Obj:
    """The claim with its volume's name; the same object where it is bound already."""
    annotations = {**annotations_of(claim), BIND_COMPLETED: "yes"}
    if dig(claim, "spec.volumeName") != name_of(volume):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    elif annotations == annotations_of(claim):
        return claim
    meta = {**claim["metadata"], "annotations": annotations}
    return {**claim, "metadata": meta, "spec": {**claim["spec"], "volumeName": name_of(volume)}}


def unbound_volume(volume: Obj) -> Obj:
    """The volume without a claim that has another; what a user has set aside stays set aside."""
    meta, spec = volume["metadata"], volume["spec"]
    annotations = dict(annotations_of(volume))
    if annotations.pop(BOUND_BY_CONTROLLER, None) is None:
        kept = {key: value for key, value in spec["claimRef"].items() if key not in ("uid", "resourceVersion")}
        return {**volume, "spec": {**spec, "claimRef": kept}}
    bare = {key: value for key, value in spec.items() if key != "claimRef"}
    return {**volume, "metadata": {**meta, "annotations": annotations}, "spec": bare}


def claim_status(claim: Obj, volume: Obj) -> Obj:
    """The status of a bound claim. A capacity told before stays: an expansion may be under way."""
    status = dict(claim.get("status") or {})
    if status.get("phase") != "Bound" or not status.get("capacity"):
        status["capacity"] = {"storage": dig(volume, "spec.capacity.storage", "0")}
    if attributes := dig(volume, "spec.volumeAttributesClassName"):
        status["currentVolumeAttributesClassName"] = attributes
    return status | {"phase": "Bound", "accessModes": dig(volume, "spec.accessModes", [])}


def unbound_status(claim: Obj, phase: str) -> Obj:
    """The status of a claim that has no volume (any more)."""
    gone = ("accessModes", "capacity")
    kept = {key: value for key, value in (claim.get("status") or {}).items() if key not in gone}
    return kept | {"phase": phase}


def volume_status(volume: Obj, phase: str, now: datetime, message: str = "") -> Obj:
    """The status of a volume in a phase from `now` on; one that it is in already stays as it is told."""
    known = volume.get("status") or {}
    if known.get("phase") == phase:
        return known
    kept = {key: value for key, value in known.items() if key not in ("message", "reason")}
    kept["lastPhaseTransitionTime"] = timestamp(now)
    return kept | {"phase": phase} | ({"message": message} if message else {})


def reclaim_fault(volume: Obj) -> str | None:
    """Why a released volume cannot be reclaimed, empty where it can. None: nothing is to be done with it, as it
    is kept, or the one who made it deletes it."""
    policy, path = dig(volume, "spec.persistentVolumeReclaimPolicy"), dig(volume, "spec.hostPath.path")
    if policy == "Recycle":
        return "" if path else "No recycler plugin found for the volume!"
    if policy != "Delete" or PROVISIONED_BY in annotations_of(volume):
        return None
    if path:
        return undeletable(path)
    fault = "no deletable volume plugin matched"
    return f'error getting deleter volume plugin for volume "{name_of(volume)}": {fault}'
