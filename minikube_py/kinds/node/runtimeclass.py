"""RuntimeClass: the name of a way to run containers."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import immutable, invalid


def validate(runtime: Obj, old: Obj | None) -> Iterable[Violation]:
    handler = runtime.get("handler") or ""
    for reason in dns1123_label(handler):
        yield invalid("handler", handler, reason)
    if old is not None:
        yield from immutable(runtime, old, "handler")


RuntimeClass = Kind(
    "RuntimeClass",
    "node.k8s.io/v1",
    "runtimeclasses",
    namespaced=False,
    validate=validate,
    columns=(NAME, Column("Handler", "handler", description="What the container runtime calls it"), AGE),
)
