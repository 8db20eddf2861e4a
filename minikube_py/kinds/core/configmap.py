"""ConfigMap."""

from minikube_py.meta.kind import Kind

ConfigMap = Kind(
    "ConfigMap",
    "v1",
    "configmaps",
    short_names=("cm",),
)
