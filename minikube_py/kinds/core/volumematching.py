"""Which PersistentVolume suits a claim. Pure; the binder and the scheduler ask the same questions."""

from collections.abc import Iterable

from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.podspec.nodefit import matches_term
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    dig,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from minikube_py.meta.quantity import int_value
from minikube_py.meta.selectors import from_label_selector

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def requested(claim: Obj) -> int:
    """The bytes a claim asks for."""
    return int_value(dig(claim, "spec.resources.requests.storage", "0"))


def capacity(volume: Obj) -> int:
    """The bytes a volume holds."""
    return int_value(dig(volume, "spec.capacity.storage", "0"))


def claim_ref(claim: Obj) -> Obj:
    """The `claimRef` of a volume that is set aside for this claim."""
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }


def refers_to(volume: Obj, claim: Obj) -> bool:
    """Whether the volume is bound to, or set aside for, this claim."""
    ref = dig(volume, "spec.claimRef")
    if ref is None:
        return False
    same = (ref.get("namespace"), ref.get("name")) == (namespace_of(claim), name_of(claim))
    return same and ref.get("uid") in (None, "", uid_of(claim))


def waits_for_consumer(storage_class: Obj | None) -> bool:
    """Whether claims of the class are bound only once a pod that uses them has a node."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def reachable_from(volume: Obj, node: Obj) -> bool:
    """Whether pods on `node` can use the volume, by its required node affinity."""
    required = dig(volume, "spec.nodeAffinity.required")
    if required is None:
        return True
    return any(matches_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def mismatch(volume: Obj, claim: Obj) -> str:
    """Why the volume does not satisfy a claim that names it; empty where it does. The API's words."""
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if storage_class_of(volume) != storage_class_of(claim):
        return "storageClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not _modes(claim) <= _modes(volume):
        return "incompatible accessMode"
    if _attributes(volume) != _attributes(claim):
        return "volumeAttributesClassName does not match"
    return ""


def best_match(
    claim: Obj, volumes: Iterable[Obj], *, node: Obj | None = None, only_reserved: bool = False
) -> Obj | None:
    """The volume for `claim`: one set aside for it, else the smallest free one with the fewest modes that fits
    (and that `node` reaches, where that is given). `only_reserved` leaves out the free ones."""
    found: list[tuple[tuple[int, int, str], Obj]] = []
    for volume in volumes:
        if is_deleting(volume) or _mode(volume) != _mode(claim) or _attributes(volume) != _attributes(claim):
            continue
        if not _modes(claim) <= _modes(volume) or capacity(volume) < requested(claim):
            continue
        reached = node is None or reachable_from(volume, node)
        if refers_to(volume, claim):
            return volume if reached else None
        if only_reserved or not reached or not _is_free(volume, claim):
            continue
        found.append(((len(_modes(volume)), capacity(volume), name_of(volume)), volume))
    return min(found, key=lambda entry: entry[0])[1] if found else None


def _is_free(volume: Obj, claim: Obj) -> bool:
    if dig(volume, "spec.claimRef") is not None or dig(volume, "status.phase") != "Available":
        return False
    if storage_class_of(volume) != storage_class_of(claim):
        return False
    selector = dig(claim, "spec.selector")
    return selector is None or from_label_selector(selector).matches(labels_of(volume))


def _modes(obj: Obj) -> set[str]:
    return set(dig(obj, "spec.accessModes", ()))


def _mode(obj: Obj) -> str:
    return dig(obj, "spec.volumeMode") or "Filesystem"


def _attributes(obj: Obj) -> str:
    return dig(obj, "spec.volumeAttributesClassName") or ""


def is_bound(claim: Obj) -> bool:
    """Whether the binder has bound the claim for good."""
    return bool(dig(claim, "spec.volumeName")) and BIND_COMPLETED in annotations_of(claim)
