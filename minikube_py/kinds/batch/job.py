"""Job."""

from minikube_py.meta.kind import Kind

Job = Kind(
    "Job",
    "batch/v1",
    "jobs",
    categories=("all",),
    subresources=("status",),
)
