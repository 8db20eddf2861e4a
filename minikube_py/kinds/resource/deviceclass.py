"""DeviceClass: a kind of devices that an administrator offers to claims."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.resource.devices import validate_configuration, validate_list, validate_selectors
from minikube_py.kinds.strategy import count_generation, drop, section
from minikube_py.meta.kind import Kind, Violation
from minikube_py.meta.objects import Obj


def prepare(device_class: Obj, old: Obj | None) -> None:
    """Drop the fields of features that are off, and count changes of the spec."""
    drop(section(device_class, "spec"), "extendedResourceName")
    count_generation(device_class, old)


def validate(device_class: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = device_class.get("spec") or {}
    if old is not None and spec == (old.get("spec") or {}):
        return
    yield from validate_selectors(spec.get("selectors") or [], "spec.selectors")
    yield from validate_list(spec.get("config") or [], validate_configuration, "spec.config")


DeviceClass = Kind(
    "DeviceClass",
    "resource.k8s.io/v1",
    "deviceclasses",
    namespaced=False,
    prepare=prepare,
    validate=validate,
    returns_deleted=True,
    columns=(NAME, AGE),
)
