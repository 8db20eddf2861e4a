"""ResourceSlice: devices that a driver offers, of one node or of several."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.kinds.podspec.placement import validate_node_selector
from minikube_py.kinds.resource.devices import validate_named, validate_qualified
from minikube_py.kinds.resource.resourceclaim import validate_pool_name
from minikube_py.kinds.resourcenames import NOT_POSITIVE
from minikube_py.kinds.strategy import count_generation, drop, section
from minikube_py.kinds.volumesources import validate_driver_name
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import immutable, invalid, required, too_long

MAX_DEVICES = 128
MAX_ATTRIBUTES = 32
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_OFF = (
    "allNodes", "allowMultipleAllocations", "bindingConditions", "bindingFailureConditions", "bindsToNode",
    "consumesCounters", "nodeName", "nodeSelector", "taints",
)  # fmt: skip
_VALUES = ("bool", "int", "string", "version")
_ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


def prepare(resource_slice: Obj, old: Obj | None) -> None:
    """Drop the fields of features that are off, and count changes of the spec."""
    spec = section(resource_slice, "spec")
    drop(spec, "sharedCounters", "perDeviceNodeSelection")
    for device in spec.get("devices") or ():
        drop(device, *_OFF)
        for capacity in (device.get("capacity") or {}).values():
            drop(capacity, "requestPolicy")
    count_generation(resource_slice, old)


def validate(resource_slice: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = resource_slice.get("spec") or {}
    for path in ("spec.driver", "spec.pool.name", "spec.nodeName") if old is not None else ():
        yield from immutable(resource_slice, old or {}, path)
    yield from validate_driver_name(spec.get("driver") or "", "spec.driver")
    yield from _pool(spec.get("pool") or {}, "spec.pool")
    yield from _place(spec, "spec")
    yield from validate_named(spec.get("devices") or [], _device, "spec.devices", MAX_DEVICES)


def _pool(pool: Obj, path: str) -> Iterable[Violation]:
    yield from validate_pool_name(pool.get("name") or "", f"{path}.name")
    generation, count = pool.get("generation") or 0, pool.get("resourceSliceCount") or 0
    if count <= 0:
        yield invalid(f"{path}.resourceSliceCount", count, NOT_POSITIVE)
    if generation < 0:
        yield invalid(f"{path}.generation", generation, "must be greater than or equal to zero")


def _place(spec: Obj, path: str) -> Iterable[Violation]:
    given = [field for field in _PLACES if spec.get(field) is not None]
    if (name := spec.get("nodeName")) is not None:
        for reason in dns1123_subdomain(name):
            yield invalid(f"{path}.nodeName", name, reason)
    if (selector := spec.get("nodeSelector")) is not None:
        yield from validate_node_selector(selector, f"{path}.nodeSelector")
        if len(selector.get("nodeSelectorTerms") or ()) != 1:
            terms = selector.get("nodeSelectorTerms") or []
            yield invalid(
                f"{path}.nodeSelector.nodeSelectorTerms", terms, "must have exactly one node selector term"
            )
    for field in _PLACES[2:]:
        if spec.get(field) is False:
            yield invalid(f"{path}.{field}", False, "must be either unset or set to true")
    if not given:
        yield required(path, _ONE_PLACE)
    elif len(given) > 1:
        told = ", ".join(f"`{field}`" for field in given)
        yield invalid(path, f"{{{told}}}", f"{_ONE_PLACE}, but multiple fields are set")


def _device(device: Obj, path: str) -> Iterable[Violation]:
    name = device.get("name") or ""
    for reason in dns1123_label(name):
        yield invalid(f"{path}.name", name, reason)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if (number := len(attributes) + len(capacity)) > MAX_ATTRIBUTES:
        told = f"the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
        yield invalid(path, number, told)
    for key, value in attributes.items():
        yield from validate_qualified(key, f"{path}.attributes[{key}]")
        yield from _attribute(value, f"{path}.attributes[{key}]")
    for key in capacity:
        yield from validate_qualified(key, f"{path}.capacity[{key}]")


def _attribute(value: Obj, path: str) -> Iterable[Violation]:
    given = [field for field in _VALUES if value.get(field) is not None]
    if len(given) != 1:
        fault = "exactly one value must be specified"
        yield invalid(path, value, fault) if given else required(path, fault)
    for field in ("string", "version"):
        if len(value.get(field) or "") > 64:
            yield too_long(f"{path}.{field}", 64)


def _node(resource_slice: Obj, now: datetime) -> str:
    return dig(resource_slice, "spec.nodeName") or ""


ResourceSlice = Kind(
    "ResourceSlice",
    "resource.k8s.io/v1",
    "resourceslices",
    namespaced=False,
    fields={"spec.nodeName": "spec.nodeName", "spec.driver": "spec.driver"},
    prepare=prepare,
    validate=validate,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Node", _node, description="The node of the devices"),
        Column("Driver", text("spec.driver"), description="Who offers them"),
        Column("Pool", text("spec.pool.name"), description="What the slice is a part of"),
        AGE,
    ),
)
