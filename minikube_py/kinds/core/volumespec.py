"""Validation of the spec of a PersistentVolume, and of its changes."""

import posixpath
from collections.abc import Iterable

from minikube_py.kinds.core.claimspec import VOLUME_MODES, validate_access_modes, validate_class_name
from minikube_py.kinds.differences import told_differences
from minikube_py.kinds.podspec.placement import validate_node_selector
from minikube_py.kinds.resourcenames import validate_positive, value_of
from minikube_py.kinds.volumesources import COMMON, Rule, choose_source, csi_persistent, local
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import IMMUTABLE, forbidden, invalid, not_supported, required

SOURCES: dict[str, Rule] = {**COMMON, "local": local, "csi": csi_persistent}
"""The rules of the sources of a PersistentVolume, by field."""
_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_BETA_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def validate_volume_spec(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a PersistentVolume's spec, after defaulting."""
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes")
    yield from validate_access_modes(spec.get("accessModes") or (), f"{path}.accessModes")
    yield from _capacity(spec.get("capacity") or {}, f"{path}.capacity")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in _RECLAIM_POLICIES:
        yield not_supported(f"{path}.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES)
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        yield required(f"{path}.nodeAffinity.required", "must specify required node constraints")
    elif affinity is not None:
        yield from validate_node_selector(affinity["required"], f"{path}.nodeAffinity.required")
    yield from choose_source(spec, SOURCES, path)
    if spec.get("local") is not None and affinity is None:
        yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    root = posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".")
    if root in ("/", "//") and policy == "Recycle":
        told = "may not be 'recycle' for a hostPath mount of '/'"
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", told)
    yield from validate_class_name(spec.get("storageClassName") or "", f"{path}.storageClassName")
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _attributes_class(spec, path)


def _capacity(capacity: Obj, path: str) -> Iterable[Violation]:
    if not capacity:
        yield required(path)
    if set(capacity) != {"storage"}:
        yield not_supported(path, capacity, ("storage",))
    for name, amount in capacity.items():
        if value_of(amount) < 0:
            yield invalid(f"{path}[{name}]", amount, "must be a valid resource quantity")
        yield from validate_positive(amount, f"{path}[{name}]")


def _attributes_class(spec: Obj, path: str) -> Iterable[Violation]:
    name, place = spec.get("volumeAttributesClassName"), f"{path}.volumeAttributesClassName"
    if name is None:
        return
    if not name:
        yield required(place, "an empty string is disallowed")
    yield from validate_class_name(name, place)
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def validate_volume_update(spec: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of a change: where the data lies, and how it is seen, stays."""
    source, before = (_source(one) for one in (spec, old))
    if "csi" in source and "csi" in before and "controllerExpandSecretRef" not in before["csi"]:
        source["csi"] = {k: v for k, v in source["csi"].items() if k != "controllerExpandSecretRef"}
    if told := told_differences(source, before, "spec"):
        fixed = "spec.persistentvolumesource is immutable after creation"
        yield forbidden("spec.persistentvolumesource", fixed + told)
    if spec.get("volumeMode") != old.get("volumeMode"):
        yield invalid("volumeMode", spec.get("volumeMode"), IMMUTABLE)
    affinity, known = spec.get("nodeAffinity"), old.get("nodeAffinity")
    if known is not None and affinity not in (known, _with_stable_labels(known)):
        told = f"{IMMUTABLE}, except for updating from beta label to GA"
        yield invalid("nodeAffinity", affinity, told)
    if old.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        yield forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def _source(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key in SOURCES}


def _with_stable_labels(affinity: Obj) -> Obj:
    """The node affinity of a volume with today's names of the labels that once were beta."""
    terms = (affinity.get("required") or {}).get("nodeSelectorTerms") or ()
    renamed = [
        {
            **term,
            "matchExpressions": [
                {**one, "key": _BETA_LABELS.get(one.get("key") or "", one.get("key"))}
                for one in term.get("matchExpressions") or ()
            ],
        }
        for term in terms
    ]
    return {**affinity, "required": {**(affinity.get("required") or {}), "nodeSelectorTerms": renamed}}
