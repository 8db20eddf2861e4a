"""VolumeAttributesClass: parameters of volumes that may change while they are used."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, text
from minikube_py.kinds.storage.parameters import validate_parameters, validate_provisioner
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, annotations_of, name_of
from minikube_py.meta.violations import forbidden, required

DEFAULT_ANNOTATION = "volumeattributesclass.alpha.kubernetes.io/is-default-class"


def validate(attributes: Obj, old: Obj | None) -> Iterable[Violation]:
    for field in ("driverName", "parameters") if old is not None else ():
        if (attributes.get(field) or {}) != ((old or {}).get(field) or {}):
            yield forbidden(field, f"updates to {field} are forbidden.")
    parameters = attributes.get("parameters") or {}
    yield from validate_provisioner(attributes.get("driverName") or "", "driverName")
    yield from validate_parameters(parameters, "parameters")
    if not parameters:
        yield required("parameters", "must contain at least one key/value pair")


def _name(attributes: Obj, now: datetime) -> str:
    is_default = annotations_of(attributes).get(DEFAULT_ANNOTATION) == "true"
    return name_of(attributes) + (" (default)" if is_default else "")


VolumeAttributesClass = Kind(
    "VolumeAttributesClass",
    "storage.k8s.io/v1",
    "volumeattributesclasses",
    short_names=("vac",),
    namespaced=False,
    validate=validate,
    returns_deleted=True,
    columns=(
        Column("Name", _name, format="name", description="Name of the object"),
        Column("DriverName", text("driverName"), description="The CSI driver that it is for"),
        AGE,
    ),
)
