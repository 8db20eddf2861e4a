"""CustomResourceDefinition: the list of kinds that users have defined, which is empty.

Clients read it before they say that a kind is unknown (kubectl apply does), and to learn what they may watch.
None can be created yet: the kind is served for reading only.
"""

from minikube_py.kinds.columns import NAME, created_at
from minikube_py.meta.kind import Column, Kind

CustomResourceDefinition = Kind(
    "CustomResourceDefinition",
    "apiextensions.k8s.io/v1",
    "customresourcedefinitions",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    verbs=("get", "list", "watch"),
    columns=(NAME, Column("Created At", created_at, "date", description="When it was created")),
)
