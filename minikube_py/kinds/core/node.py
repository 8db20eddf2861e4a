"""Node."""

from minikube_py.meta.kind import Kind

Node = Kind(
    "Node",
    "v1",
    "nodes",
    short_names=("no",),
    namespaced=False,
    subresources=("status", "proxy"),
)
