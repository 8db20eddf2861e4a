"""ControllerRevision."""

from minikube_py.meta.kind import Kind

ControllerRevision = Kind(
    "ControllerRevision",
    "apps/v1",
    "controllerrevisions",
)
