"""DaemonSet."""

from minikube_py.meta.kind import Kind

DaemonSet = Kind(
    "DaemonSet",
    "apps/v1",
    "daemonsets",
    short_names=("ds",),
    categories=("all",),
    subresources=("status",),
)
