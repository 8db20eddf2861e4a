"""Pod."""

from minikube_py.meta.kind import Kind

Pod = Kind(
    "Pod",
    "v1",
    "pods",
    short_names=("po",),
    categories=("all",),
    subresources=(
        "status",
        "binding",
        "eviction",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
        "ephemeralcontainers",
    ),
)
