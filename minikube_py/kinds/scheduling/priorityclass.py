"""PriorityClass."""

from minikube_py.meta.kind import Kind

PriorityClass = Kind(
    "PriorityClass",
    "scheduling.k8s.io/v1",
    "priorityclasses",
    short_names=("pc",),
    namespaced=False,
)
