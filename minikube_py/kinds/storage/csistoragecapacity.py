"""CSIStorageCapacity: how much storage of a class there is in a part of the cluster."""

from collections.abc import Iterable

from minikube_py.kinds.columns import NAME, UNSET, text
from minikube_py.kinds.resourcenames import validate_amount
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_subdomain
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import immutable, invalid


def validate(capacity: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None:
        for field in ("nodeTopology", "storageClassName"):
            yield from immutable(capacity, old, field)
        return
    yield from validate_label_selector(capacity.get("nodeTopology"), "nodeTopology")
    name = capacity.get("storageClassName") or ""
    for reason in dns1123_subdomain(name):
        yield invalid("storageClassName", name, reason)
    if capacity.get("capacity") is not None:
        yield from validate_amount(capacity["capacity"], "capacity")


CSIStorageCapacity = Kind(
    "CSIStorageCapacity",
    "storage.k8s.io/v1",
    "csistoragecapacities",
    validate=validate,
    columns=(
        NAME,
        Column("StorageClassName", text("storageClassName"), description="The StorageClass"),
        Column("Capacity", text("capacity", UNSET), description="How much there is"),
    ),
    unconditional_update=False,
)
