"""ServiceAccount."""

from minikube_py.meta.kind import Kind

ServiceAccount = Kind(
    "ServiceAccount",
    "v1",
    "serviceaccounts",
    short_names=("sa",),
    subresources=("token",),
)
