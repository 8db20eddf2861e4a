"""Event."""

from minikube_py.meta.kind import Kind

Event = Kind(
    "Event",
    "v1",
    "events",
    short_names=("ev",),
)
