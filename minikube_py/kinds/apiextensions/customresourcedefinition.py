"""CustomResourceDefinition: a kind that users have defined, served as soon as its names are accepted."""

from minikube_py.kinds.apiextensions.definitionvalidation import validate, validate_status
from minikube_py.kinds.apiextensions.versionvalidation import warn
from minikube_py.kinds.columns import NAME, created_at
from minikube_py.kinds.strategy import count_generation, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj


def default(definition: Obj) -> None:
    spec = section(definition, "spec")
    names = section(spec, "names")
    if kind := names.get("kind"):
        if_empty(names, "singular", kind.lower())
        if_empty(names, "listKind", f"{kind}List")
    conversion = section(spec, "conversion")
    if_empty(conversion, "strategy", "None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        if_absent(service, "port", 443)


def prepare(definition: Obj, old: Obj | None) -> None:
    """Nobody sets the status of what he creates, but the versions that are stored are noted at once."""
    if old is None:
        definition["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": None}
    count_generation(definition, old)
    stored = next((v.get("name") for v in definition["spec"].get("versions") or () if v.get("storage")), None)
    status = section(definition, "status")
    known = status.get("storedVersions") or []
    if stored and stored not in known:
        status["storedVersions"] = [*known, stored]


CustomResourceDefinition = Kind(
    "CustomResourceDefinition",
    "apiextensions.k8s.io/v1",
    "customresourcedefinitions",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=("status",),
    default=default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    warn=warn,
    columns=(NAME, Column("Created At", created_at, "date", description="When it was created")),
    unconditional_update=False,
)
