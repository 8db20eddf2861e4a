"""The ServiceCIDR `kubernetes`: the range from which Services get their addresses."""

from datetime import datetime

from minikube_py.kinds.networking.servicecidr import FINALIZER, ServiceCIDR, ready
from minikube_py.meta.objects import Obj, copy, dig

NAME = "kubernetes"
_TOLD = "Kubernetes default Service CIDR is ready"


def service_cidr(cidr: str) -> Obj:
    """The ServiceCIDR of the cluster's own range."""
    return {
        "apiVersion": ServiceCIDR.api_version,
        "kind": ServiceCIDR.kind,
        "metadata": {"name": NAME, "finalizers": [FINALIZER]},
        "spec": {"cidrs": [cidr]},
    }


def made_ready(stored: Obj, now: datetime) -> Obj | None:
    """A copy of the stored ServiceCIDR with the condition that it is ready; None where it says so already."""
    status = ready(dig(stored, "status") or {}, _TOLD, now)
    return None if status == stored.get("status") else {**copy(stored), "status": status}
