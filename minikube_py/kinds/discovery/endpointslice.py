"""EndpointSlice."""

from minikube_py.meta.kind import Kind

EndpointSlice = Kind(
    "EndpointSlice",
    "discovery.k8s.io/v1",
    "endpointslices",
)
