"""The quality of service class of a pod."""

from collections.abc import Iterator
from typing import Any

from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import parse_quantity

_COUNTED = ("cpu", "memory")


def qos_class(spec: Obj) -> str:
    """Guaranteed where every container limits cpu and memory to what it requests, BestEffort where none asks
    for either, Burstable between. Pod level resources, where given, decide alone."""
    if spec.get("resources"):
        return _class([spec["resources"]])
    return _class(list(_resources(spec)))


def _resources(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            yield container.get("resources") or {}


def _class(all_resources: list[Obj]) -> str:
    asked, guaranteed = False, True
    for resources in all_resources:
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in _COUNTED:
            limit, request = _amount(limits.get(name)), _amount(requests.get(name))
            asked = asked or limit > 0 or request > 0
            guaranteed = guaranteed and limit > 0 and request == limit
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amount(quantity: Any) -> Any:
    try:
        return parse_quantity(quantity) if quantity is not None else 0
    except ValueError:
        return 0  # validation refuses it
