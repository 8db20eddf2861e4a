"""PersistentVolumeClaim: a user's request for storage."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.kinds.core.accessmodes import (
    CLASS_ANNOTATION,
    access_modes,
    attributes_class,
    phase,
    storage_class,
    volume_mode,
)
from minikube_py.kinds.core.claimspec import default_claim_spec, pair_data_sources, validate_claim_spec
from minikube_py.kinds.differences import told_differences
from minikube_py.kinds.podspec.warnings import claim_warnings
from minikube_py.kinds.resourcenames import value_of
from minikube_py.kinds.strategy import if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj, annotations_of, copy, dig
from minikube_py.meta.violations import IMMUTABLE, forbidden, invalid, not_supported

_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def default(claim: Obj) -> None:
    if_empty(section(claim, "status"), "phase", "Pending")
    default_claim_spec(section(claim, "spec"))


def prepare(claim: Obj, old: Obj | None) -> None:
    pair_data_sources(claim["spec"])
    if old is None:
        claim["status"] = {"phase": "Pending"}


def validate(claim: Obj, old: Obj | None) -> Iterable[Violation]:
    yield from validate_claim_spec(claim["spec"], "spec")
    if old is not None:
        yield from _update(claim, old)


def _update(claim: Obj, old: Obj) -> Iterable[Violation]:
    """A claim is fixed but for the volume it gets, once, and the size and attributes of a bound one."""
    spec, before = claim["spec"], old["spec"]
    annotation = annotations_of(claim).get(CLASS_ANNOTATION, "")
    if annotation != annotations_of(old).get(CLASS_ANNOTATION, "") and not _names_class_anew(claim, old):
        yield invalid(f"metadata.annotations[{CLASS_ANNOTATION}]", annotation, IMMUTABLE)
    if told := told_differences(_with_fixed_parts(claim, old), before, "spec"):
        yield forbidden("spec", _FIXED + told)
    size, known = (value_of(dig(one, "resources.requests.storage", 0)) for one in (spec, before))
    if size < known and size <= value_of(dig(old, "status.capacity.storage", 0)):
        yield forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    if spec.get("volumeMode") != before.get("volumeMode"):
        yield invalid("volumeMode", spec.get("volumeMode"), IMMUTABLE)
    wanted = spec.get("volumeAttributesClassName")
    has_one = dig(old, "status.currentVolumeAttributesClassName") is not None
    if has_one and not wanted and wanted != before.get("volumeAttributesClassName"):
        what = "nil" if wanted is None else "empty string"
        told = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        yield forbidden("spec.volumeAttributesClassName", told)


def _names_class_anew(claim: Obj, old: Obj) -> bool:
    """Whether the class moves from the old annotation to the spec, or comes where there was none."""
    wanted, known = dig(claim, "spec.storageClassName"), annotations_of(old).get(CLASS_ANNOTATION)
    return dig(old, "spec.storageClassName") is None and wanted is not None and known in (None, wanted)


def _with_fixed_parts(claim: Obj, old: Obj) -> Obj:
    """The new spec with what may change as the old one has it."""
    spec: Obj = copy(claim["spec"])
    fields = [] if old["spec"].get("volumeName") else ["volumeName"]
    if _names_class_anew(claim, old):
        fields.append("storageClassName")
    if dig(claim, "status.phase") == "Bound":
        fields.append("volumeAttributesClassName")
        if (requests := dig(spec, "resources.requests")) is not None:
            requests["storage"] = dig(old, "spec.resources.requests.storage")
    for field in fields:
        spec.pop(field, None)
        if field in old["spec"]:
            spec[field] = old["spec"][field]
    return spec


def validate_status(claim: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a claim's new status."""
    status = claim.get("status") or {}
    for field in ("capacity", "allocatedResources"):
        for name, amount in (status.get(field) or {}).items():
            if value_of(amount) < 0:
                yield invalid(f"status.{field}[{name}]", amount, "must be a valid resource quantity")
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        for reason in qualified_name(name):
            yield invalid("status.allocatedResourceStatuses", name, reason)
        if state not in _RESIZE_STATES:
            yield not_supported("status.allocatedResourceStatuses", name, _RESIZE_STATES)


def _capacity(claim: Obj, now: datetime) -> str:
    return dig(claim, "status.capacity.storage", "0") if dig(claim, "spec.volumeName") else ""


def _modes(claim: Obj, now: datetime) -> str:
    return access_modes(dig(claim, "status.accessModes")) if dig(claim, "spec.volumeName") else ""


PersistentVolumeClaim = Kind(
    "PersistentVolumeClaim",
    "v1",
    "persistentvolumeclaims",
    short_names=("pvc",),
    subresources=("status",),
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    warn=lambda claim, _: claim_warnings(claim["spec"], "spec"),
    validate_status=validate_status,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Status", phase, description="Pending, Bound or Lost"),
        Column("Volume", text("spec.volumeName"), description="The volume that it is bound to"),
        Column("Capacity", _capacity, description="How much the volume holds"),
        Column("Access Modes", _modes, description="How the volume may be mounted"),
        Column("StorageClass", storage_class, description="StorageClass of the pvc"),
        Column("VolumeAttributesClass", attributes_class, description="VolumeAttributesClass of the pvc"),
        AGE,
        Column("VolumeMode", volume_mode, priority=1, description="Filesystem or Block"),
    ),
)
