"""The names of what a ResourceQuota may limit, and which resource's objects each of them measures."""

from functools import lru_cache

from minikube_py.kinds.resourcenames import is_native

PODS, SERVICES, CLAIMS = "pods", "services", "persistentvolumeclaims"
COUNT = "count/"
BY_CLASS = ".storageclass.storage.k8s.io/"
ALIASES = frozenset(("configmaps", "secrets", "replicationcontrollers", "resourcequotas"))
"""Core resources that are also counted under their bare name."""
_SERVICES = frozenset(("services", "services.nodeports", "services.loadbalancers"))
_CLAIMS = frozenset(("persistentvolumeclaims", "requests.storage"))
COMPUTE = ("cpu", "memory", "ephemeral-storage")
_PODS = frozenset(
    (PODS, *COMPUTE, *(f"requests.{name}" for name in COMPUTE), *(f"limits.{name}" for name in COMPUTE))
)
HUGE_PAGES = "hugepages-"


def count_name(resource: str) -> str:
    """The name under which objects of a resource (`deployments.apps`) are counted."""
    return COUNT + resource


@lru_cache(maxsize=4096)
def measured_by(name: str) -> str:
    """The resource (`pods`, `deployments.apps`) whose objects a quota name measures; empty where none does."""
    if name.startswith(COUNT):
        return name.removeprefix(COUNT)
    if name in _PODS or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}")):
        return PODS
    if name in _SERVICES:
        return SERVICES
    if name in _CLAIMS or any(name.endswith(f"{BY_CLASS}{one}") for one in _CLAIMS):
        return CLAIMS
    if name in ALIASES:
        return name
    return PODS if name.startswith("requests.") and not is_native(name) else ""
