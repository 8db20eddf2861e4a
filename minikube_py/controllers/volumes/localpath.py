"""Which local-path volume a claim gets, and what becomes of one that is no longer wanted. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.core.node import HOSTNAME
from minikube_py.kinds.core.protection import VOLUME_PROTECTION
from minikube_py.kinds.core.volumematching import (
    BETA_STORAGE_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    claim_ref,
    reachable_from,
    waits_for_consumer,
)
from minikube_py.kinds.storage.localpath import FINALIZER, PROVISIONER, ROOT, is_local_path
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    condition_is,
    dig,
    is_deleting,
    labels_of,
    name_of,
    uid_of,
)

DEFAULT_ROOT = "/var/lib/minikube-py/storage"
"""Where a node that names no root would have its volumes; nobody makes or removes folders there."""
REPELLING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a claim gets no volume. `reschedule`: the node that was chosen will not do, another may."""

    message: str
    reschedule: bool = False


def is_asked(claim: Obj) -> bool:
    """Whether a claim waits for a volume of ours."""
    asked = annotations_of(claim)
    provisioner = asked.get(STORAGE_PROVISIONER) or asked.get(BETA_STORAGE_PROVISIONER)
    return provisioner == PROVISIONER and not dig(claim, "spec.volumeName") and not is_deleting(claim)


def is_usable(node: Obj) -> bool:
    """Whether a volume for no pod in particular may lie on the node: new pods can come to it."""
    taints = dig(node, "spec.taints") or ()
    repels = dig(node, "spec.unschedulable") or any(taint.get("effect") in REPELLING for taint in taints)
    return condition_is(node, "Ready") and not repels


def volume_for(claim: Obj, storage_class: Obj | None, nodes: Sequence[Obj]) -> Obj | Refusal | None:
    """The PersistentVolume to create for a claim that asks for one; None where it is not (yet) to have one."""
    if storage_class is None or storage_class.get("provisioner") != PROVISIONER or not is_asked(claim):
        return None
    selected = annotations_of(claim).get(SELECTED_NODE)
    if waits_for_consumer(storage_class) and not selected:
        return None
    if fault := _unsupported(claim):
        return Refusal(f'failed to provision volume with StorageClass "{name_of(storage_class)}": {fault}')
    if selected:
        node = next((node for node in nodes if name_of(node) == selected), None)
        if node is None:
            return Refusal(f'failed to get target node: nodes "{selected}" not found', reschedule=True)
        return _volume(claim, storage_class, node)
    terms = storage_class.get("allowedTopologies") or ()
    usable = [node for node in nodes if is_usable(node) and _is_in(node, terms)]
    if not usable:
        fault = "no node is ready, schedulable and in the allowed topologies"
        return Refusal(f'failed to provision volume with StorageClass "{name_of(storage_class)}": {fault}')
    return _volume(claim, storage_class, min(usable, key=name_of))


def _unsupported(claim: Obj) -> str:
    """What is asked for that a folder cannot be; empty for nothing."""
    spec = claim["spec"]
    if spec.get("volumeMode") == "Block":
        return f"{PROVISIONER} does not support block volume provisioning"
    if spec.get("selector"):
        return "claim Selector is not supported"
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return f"{PROVISIONER} does not support data sources: the volume would be empty"
    return ""


def _is_in(node: Obj, terms: Iterable[Obj]) -> bool:
    """Whether a node is in one of the topologies (or none is required)."""
    labels = labels_of(node)
    found = [
        all(labels.get(one["key"]) in one["values"] for one in term.get("matchLabelExpressions") or ())
        for term in terms
    ]
    return any(found) or not found


def _volume(claim: Obj, storage_class: Obj, node: Obj) -> Obj:
    name, root = f"pvc-{uid_of(claim)}", annotations_of(node).get(ROOT)
    metadata: Obj = {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}}
    if root:
        metadata["finalizers"] = [FINALIZER]
    host = labels_of(node).get(HOSTNAME) or name_of(node)
    here = {"key": HOSTNAME, "operator": "In", "values": [host]}
    spec: Obj = {
        "accessModes": claim["spec"]["accessModes"],
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "claimRef": claim_ref(claim),
        "hostPath": {"path": f"{(root or DEFAULT_ROOT).rstrip('/')}/{name}", "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": storage_class_of(claim),
        "volumeMode": "Filesystem",
    }
    if options := storage_class.get("mountOptions"):
        spec["mountOptions"] = options
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def is_to_be_deleted(volume: Obj) -> bool:
    """Whether a volume of ours has served its claim."""
    policy = dig(volume, "spec.persistentVolumeReclaimPolicy")
    over = dig(volume, "status.phase") in ("Released", "Failed")
    return is_local_path(volume) and over and policy == "Delete" and not is_deleting(volume)


def is_abandoned(volume: Obj, nodes: Iterable[Obj]) -> bool:
    """Whether a deleted volume waits for a node that is gone, with its folder, or is no node of that kind."""
    known = volume["metadata"].get("finalizers") or ()
    if not is_deleting(volume) or FINALIZER not in known or VOLUME_PROTECTION in known:
        return False
    return not any(reachable_from(volume, node) and ROOT in annotations_of(node) for node in nodes)
