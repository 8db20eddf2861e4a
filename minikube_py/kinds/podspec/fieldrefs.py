"""Validation of references to a pod's own fields and to its containers' resources (the downward API)."""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import canonical
from minikube_py.meta.violations import invalid, not_supported, required

VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
ENVIRONMENT_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_KNOWN = {
    *VOLUME_FIELDS, *ENVIRONMENT_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase",
    "status.nominatedNodeName",
}  # fmt: skip
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("requests.hugepages-", "limits.hugepages-")
_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_WORDS = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def validate_field_ref(reference: Obj, supported: Iterable[str], path: str) -> Iterable[Violation]:
    """The refusals of a fieldRef; labels and annotations may name a key."""
    field = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        yield required(f"{path}.apiVersion")
        return
    if not field:
        yield required(f"{path}.fieldPath")
        return
    base, bracket, rest = field.partition("['")
    if bracket and field.endswith("']"):
        key = rest[:-2]
        if base not in ("metadata.labels", "metadata.annotations"):
            yield _unknown(field, path)
            return
        for reason in qualified_name(key.lower() if base == "metadata.annotations" else key):
            yield invalid(path, key, reason)
    elif field not in _KNOWN:
        yield _unknown(field, path)
    elif field not in supported:
        yield not_supported(f"{path}.fieldPath", field, supported)


def _unknown(field: str, path: str) -> Violation:
    told = f"error converting fieldPath: field label not supported: {field}"
    return invalid(f"{path}.fieldPath", field, told)


def validate_resource_ref(reference: Obj, path: str, *, of_volume: bool) -> Iterable[Violation]:
    """The refusals of a resourceFieldRef; in a volume it names its container."""
    resource = reference.get("resource") or ""
    if of_volume and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
    yield from _divisor(resource, reference.get("divisor"), f"{path}.divisor")


def _divisor(resource: str, divisor: object, path: str) -> Iterable[Violation]:
    if divisor in (None, "", "0", 0):
        return
    try:
        text = canonical(divisor)
    except ValueError as error:
        yield invalid(path, divisor, str(error))
        return
    name = resource.partition(".")[2]
    if name == "cpu":
        if text not in ("1m", "1"):
            told = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield invalid(path, resource, told)
    elif text not in _DIVISORS and (name in _WORDS or name.startswith("hugepages-")):
        listed, word = ", ".join(_DIVISORS), _WORDS.get(name, "hugepages")
        yield invalid(path, resource, f"only divisor's values {listed} are supported with the {word} resource")
