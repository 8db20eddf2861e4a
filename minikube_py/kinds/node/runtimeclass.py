"""RuntimeClass: the name of a way to run containers."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.podspec.placement import validate_tolerations
from minikube_py.kinds.resourcenames import validate_container_name, validate_resources
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.object_meta import validate_labels
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import immutable, invalid


def validate(runtime: Obj, old: Obj | None) -> Iterable[Violation]:
    handler = runtime.get("handler") or ""
    for reason in dns1123_label(handler):
        yield invalid("handler", handler, reason)
    overhead = dig(runtime, "overhead.podFixed")
    yield from validate_resources(overhead, validate_container_name, "overhead.podFixed")
    scheduling = runtime.get("scheduling") or {}
    yield from validate_labels(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    yield from validate_tolerations(scheduling.get("tolerations") or (), "scheduling.tolerations")
    if old is not None:
        yield from immutable(runtime, old, "handler")


RuntimeClass = Kind(
    "RuntimeClass",
    "node.k8s.io/v1",
    "runtimeclasses",
    namespaced=False,
    validate=validate,
    columns=(NAME, Column("Handler", "handler", description="What the container runtime calls it"), AGE),
    create_on_update=True,
    unconditional_update=False,
)
