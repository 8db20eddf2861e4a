"""CSINode: the CSI drivers of a node."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.volumesources import validate_driver_name
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import IMMUTABLE, NOT_NEGATIVE, duplicate, invalid, required

_MAX_NODE_ID = 256


def validate(node: Obj, old: Obj | None) -> Iterable[Violation]:
    drivers = dig(node, "spec.drivers", ())
    names: set[str] = set()
    for index, driver in enumerate(drivers):
        path, name = f"spec.drivers[{index}]", driver.get("name") or ""
        yield from validate_driver_name(name, f"{path}.name")
        node_id = driver.get("nodeID") or ""
        if not node_id:
            yield required(f"{path}.nodeID")
        if len(node_id) > _MAX_NODE_ID:
            yield invalid(f"{path}.nodeID", node_id, f"must be {_MAX_NODE_ID} characters or less")
        count = dig(driver, "allocatable.count")
        if count is not None and count < 0:
            yield invalid(f"{path}.allocatable.count", count, NOT_NEGATIVE)
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        yield from _topology(driver.get("topologyKeys") or (), path)
    known = {driver.get("name"): driver for driver in dig(old, "spec.drivers", ())}
    for driver in drivers:
        if driver != known.get(driver.get("name"), driver):
            yield invalid("spec.drivers", driver, IMMUTABLE)


def _topology(keys: Iterable[str], path: str) -> Iterable[Violation]:
    seen: set[str] = set()
    for key in keys:
        if not key:
            yield required(path)
        if key in seen:
            yield duplicate(path, key)
        seen.add(key)
        for reason in qualified_name(key):
            yield invalid(path, key, reason)


def _drivers(node: Obj, now: datetime) -> int:
    return len(dig(node, "spec.drivers", ()))


CSINode = Kind(
    "CSINode",
    "storage.k8s.io/v1",
    "csinodes",
    namespaced=False,
    validate=validate,
    returns_deleted=True,
    columns=(NAME, Column("Drivers", _drivers, "integer", description="How many drivers the node has"), AGE),
    unconditional_update=False,
)
