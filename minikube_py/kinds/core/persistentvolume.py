"""PersistentVolume: a piece of storage in the cluster."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.kinds.core.accessmodes import (
    access_modes,
    attributes_class,
    phase,
    storage_class,
    volume_mode,
)
from minikube_py.kinds.core.volumespec import validate_volume_spec, validate_volume_update
from minikube_py.kinds.strategy import if_absent, if_empty, section
from minikube_py.kinds.volumesources import default_source
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig


def default(volume: Obj) -> None:
    spec = section(volume, "spec")
    if_empty(section(volume, "status"), "phase", "Pending")
    if_empty(spec, "persistentVolumeReclaimPolicy", "Retain")
    if_absent(spec, "volumeMode", "Filesystem")
    default_source(spec)


def prepare(volume: Obj, old: Obj | None) -> None:
    if old is None:
        since = dig(volume, "metadata.creationTimestamp")
        volume["status"] = {"phase": "Pending", **({"lastPhaseTransitionTime": since} if since else {})}


def validate(volume: Obj, old: Obj | None) -> Iterable[Violation]:
    yield from validate_volume_spec(volume["spec"], "spec")
    if old is not None and volume["spec"] != old["spec"]:
        yield from validate_volume_update(volume["spec"], old["spec"])


def _capacity(volume: Obj, now: datetime) -> str:
    return dig(volume, "spec.capacity.storage", "0")


def _modes(volume: Obj, now: datetime) -> str:
    return access_modes(dig(volume, "spec.accessModes"))


def _claim(volume: Obj, now: datetime) -> str:
    claim = dig(volume, "spec.claimRef")
    return "" if claim is None else f"{claim.get('namespace', '')}/{claim.get('name', '')}"


PersistentVolume = Kind(
    "PersistentVolume",
    "v1",
    "persistentvolumes",
    short_names=("pv",),
    namespaced=False,
    subresources=("status",),
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Capacity", _capacity, description="How much it holds"),
        Column("Access Modes", _modes, description="How it may be mounted"),
        Column("Reclaim Policy", text("spec.persistentVolumeReclaimPolicy"), description="What follows"),
        Column("Status", phase, description="Available, Bound, Released or Failed"),
        Column("Claim", _claim, description="The claim that it is bound to"),
        Column("StorageClass", storage_class, description="StorageClass of the pv"),
        Column("VolumeAttributesClass", attributes_class, description="VolumeAttributesClass of the pv"),
        Column("Reason", text("status.reason"), description="Why it failed, in one word"),
        AGE,
        Column("VolumeMode", volume_mode, priority=1, description="Filesystem or Block"),
    ),
)
