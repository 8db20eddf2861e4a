"""The claims of a pod, and how a node gets it its volumes. Pure: claims and volumes are read from `Objects`.

Claims that are bound must be reachable from the node. Claims that wait for their first consumer are matched
with volumes that exist, or provisioned for the node; the binder of the volumes acts on what is planned here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.volumematching import (
    NO_PROVISIONER,
    SELECTED_NODE,
    best_match,
    is_bound,
    reachable_from,
    requested,
    waits_for_consumer,
)
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.csistoragecapacity import CSIStorageCapacity
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    owner_references,
    uid_of,
)
from minikube_py.meta.quantity import int_value
from minikube_py.meta.selectors import from_label_selector
from minikube_py.scheduler.framework import Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Objects

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
UNREACHABLE_VOLUME = "node(s) didn't match PersistentVolume's node affinity"
NO_SPACE = "node(s) did not have enough free storage"
LOST = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclass(frozen=True, slots=True)
class PodClaims:
    """The claims of a pod: those that are bound, with their volumes (None where it is gone), and those that
    wait for a node."""

    bound: tuple[tuple[Obj, Obj | None], ...] = ()
    delayed: tuple[Obj, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What is to be done for a pod's claims on a node: volumes set aside for claims, claims provisioned."""

    matched: tuple[tuple[Obj, Obj], ...] = ()
    provisioned: tuple[Obj, ...] = ()

    @property
    def claims(self) -> tuple[Obj, ...]:
        return (*(claim for _, claim in self.matched), *self.provisioned)


def claim_names(pod: PodInfo) -> list[tuple[str, bool]]:
    """(name, whether it is made for the pod) of each claim that the pod uses."""
    found = []
    for volume in pod.spec.get("volumes") or ():
        if source := volume.get("persistentVolumeClaim"):
            found.append((source["claimName"], False))
        elif volume.get("ephemeral"):
            found.append((f"{pod.key.name}-{volume['name']}", True))
    return found


def claims_of(pod: PodInfo, objects: Objects) -> list[Obj]:
    """The claims of a pod that exist."""
    keys = (Key(pod.key.namespace, name) for name, _ in claim_names(pod))
    return [claim for key in keys if (claim := objects.get(PersistentVolumeClaim, key)) is not None]


def volume_of(claim: Obj, objects: Objects) -> Obj | None:
    """The volume that a claim names, where it exists."""
    name = dig(claim, "spec.volumeName", "")
    return objects.get(PersistentVolume, Key("", name)) if name else None


def class_of(claim: Obj, objects: Objects) -> Obj | None:
    """The StorageClass of a claim."""
    name = storage_class_of(claim)
    return objects.get(StorageClass, Key("", name)) if name else None


def read_claims(pod: PodInfo, objects: Objects) -> PodClaims | Reject:
    """The pod's claims, or why no node can take the pod."""
    bound: list[tuple[Obj, Obj | None]] = []
    delayed: list[Obj] = []
    unbound = False
    for name, made in claim_names(pod):
        claim = objects.get(PersistentVolumeClaim, Key(pod.key.namespace, name))
        if claim is None or (why := _unusable(claim, pod, made)):
            return reject(_missing(name, made) if claim is None else why, resolvable=False)
        if is_bound(claim):
            bound.append((claim, volume_of(claim, objects)))
        elif waits_for_consumer(class_of(claim, objects)) and not dig(claim, "spec.volumeName"):
            delayed.append(claim)
        else:
            unbound = True
    if unbound:
        return reject(UNBOUND, resolvable=False)
    return PodClaims(tuple(bound), tuple(delayed))


def _missing(name: str, made: bool) -> str:
    if made:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    return f'persistentvolumeclaim "{name}" not found'


def _unusable(claim: Obj, pod: PodInfo, made: bool) -> str:
    name = name_of(claim)
    if dig(claim, "status.phase") == "Lost":
        volume = dig(claim, "spec.volumeName", "")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if made and not any(ref.get("uid") == pod.uid for ref in owner_references(claim)):
        return f"PVC {key_of(claim)} was not created for pod {pod.key} (pod is not owner)"
    return ""


def plan_volumes(
    claims: PodClaims, node: NodeInfo, objects: Objects, reserved: Mapping[str, Key]
) -> VolumePlan | Reject:
    """How the pod gets its volumes on `node`; `reserved` are the volumes being bound, with their claims."""
    reasons = _bound_reasons(claims.bound, node)
    plan = _plan_delayed(claims.delayed, node, objects, reserved) if claims.delayed else VolumePlan()
    if isinstance(plan, Reject):
        reasons.extend(plan.reasons)
    if reasons:
        return reject(*reasons, resolvable=False)
    return plan


def _bound_reasons(bound: Iterable[tuple[Obj, Obj | None]], node: NodeInfo) -> list[str]:
    for _, volume in bound:
        if volume is None:
            return [LOST]
        if not reachable_from(volume, node.node):
            return [UNREACHABLE_VOLUME]
    return []


def _plan_delayed(
    claims: tuple[Obj, ...], node: NodeInfo, objects: Objects, reserved: Mapping[str, Key]
) -> VolumePlan | Reject:
    taken = dict(reserved)
    matched: list[tuple[Obj, Obj]] = []
    provisioned: list[Obj] = []
    for claim in sorted(claims, key=requested):
        selected = annotations_of(claim).get(SELECTED_NODE)
        if selected and selected != node.name:
            return reject(NO_VOLUME)
        volume = None if selected else _free_volume(claim, node, objects, taken)
        if volume is not None:
            taken[name_of(volume)] = key_of(claim)
            matched.append((volume, claim))
            continue
        if why := _not_provisioned(claim, node, objects):
            return reject(why)
        provisioned.append(claim)
    return VolumePlan(tuple(matched), tuple(provisioned))


def _free_volume(claim: Obj, node: NodeInfo, objects: Objects, taken: Mapping[str, Key]) -> Obj | None:
    key = key_of(claim)
    volumes = (v for v in objects.list(PersistentVolume) if taken.get(name_of(v), key) == key)
    return best_match(claim, volumes, node=node.node)


def _not_provisioned(claim: Obj, node: NodeInfo, objects: Objects) -> str:
    """Why no volume can be made for the claim on the node; empty where one can."""
    found = class_of(claim, objects)
    provisioner = (found or {}).get("provisioner") or ""
    if found is None or provisioner in ("", NO_PROVISIONER) or not _allowed(found, node):
        return NO_VOLUME
    driver = objects.get(CSIDriver, Key("", provisioner))
    if not dig(driver, "spec.storageCapacity", False):
        return ""
    wanted, name = requested(claim), name_of(found)
    capacities = objects.list(CSIStorageCapacity)
    if any(c.get("storageClassName") == name and _holds(c, wanted, node) for c in capacities):
        return ""
    return NO_SPACE


def _allowed(storage_class: Obj, node: NodeInfo) -> bool:
    """Whether the class's allowedTopologies admit the node."""
    terms = storage_class.get("allowedTopologies") or ()
    return not terms or any(
        all(
            node.labels.get(one.get("key", "")) in (one.get("values") or ())
            for one in term.get("matchLabelExpressions") or ()
        )
        for term in terms
    )


def _holds(capacity: Obj, wanted: int, node: NodeInfo) -> bool:
    limit = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    if limit is None or int_value(limit) < wanted or capacity.get("nodeTopology") is None:
        return False
    return from_label_selector(capacity["nodeTopology"]).matches(labels_of(node.node))


def pending(plan: VolumePlan, node: str, objects: Objects) -> bool | str:
    """Whether claims of the plan are still to be bound; a text where they will not be, on that node."""
    waiting = False
    for claim in plan.claims:
        now = objects.get(PersistentVolumeClaim, key_of(claim))
        if now is None or uid_of(now) != uid_of(claim):
            return f'persistentvolumeclaim "{name_of(claim)}" not found'
        if is_bound(now):
            continue
        if claim in plan.provisioned and annotations_of(now).get(SELECTED_NODE) != node:
            return f'provisioning failed for PVC "{name_of(claim)}"'
        waiting = True
    return waiting
