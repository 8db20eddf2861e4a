"""RuntimeClass."""

from minikube_py.meta.kind import Kind

RuntimeClass = Kind(
    "RuntimeClass",
    "node.k8s.io/v1",
    "runtimeclasses",
    namespaced=False,
)
