"""What a Service's endpoints are: which pods, under which ports and addresses. Pure.

Shared by the EndpointSlice and the Endpoints controller.
"""

from collections.abc import Iterable, Mapping

from minikube_py.controllers.pods import is_finished
from minikube_py.controllers.topologyhints import asks_for_zones
from minikube_py.meta.objects import Obj, dig, is_deleting, labels_of, name_of, namespace_of
from minikube_py.meta.selectors import EQUALS, Requirement, Selector

SAME_ZONE, SAME_NODE = ("PreferClose", "PreferSameZone"), "PreferSameNode"
AT_ONCE, LONGEST_PAUSE = 500, 1.0
"""Pods of a service whose changes are looked at one by one; seconds."""
HEADLESS_LABEL = "service.kubernetes.io/headless"


def is_headless(service: Obj) -> bool:
    return bool(dig(service, "spec.clusterIP", "") == "None")


def selector_of(service: Obj) -> Selector | None:
    """The selector of a service whose endpoints are kept for it; None where its owner keeps them."""
    wanted = _wanted(service)
    if wanted is None:
        return None
    return Selector(tuple(Requirement(key, EQUALS, frozenset((value,))) for key, value in wanted.items()))


def _wanted(service: Obj) -> Mapping[str, str] | None:
    if dig(service, "spec.type") == "ExternalName":
        return None
    return dig(service, "spec.selector") or None


def selects(service: Obj, pod: Obj) -> bool:
    """Whether the pod's labels are those that the service selects."""
    wanted = _wanted(service)
    return wanted is not None and wanted.items() <= labels_of(pod).items()


def pause(size: int) -> float:
    """For how many seconds changes of a service's pods are gathered, of which it has `size`: each look costs as
    much as there are."""
    return 0.0 if size <= AT_ONCE else min(LONGEST_PAUSE, size * LONGEST_PAUSE / 10_000)


def publishes_not_ready(service: Obj) -> bool:
    return bool(dig(service, "spec.publishNotReadyAddresses", False))


def has_address(pod: Obj) -> bool:
    """Whether the pod can be an endpoint at all."""
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")


def address(pod: Obj, family: str = "IPv4") -> str:
    """The pod's address of a family, or an empty string."""
    status = pod.get("status") or {}
    addresses = [entry.get("ip") or "" for entry in status.get("podIPs") or ()]
    for text in addresses or [status.get("podIP") or ""]:
        if text and (":" in text) == (family == "IPv6"):
            return str(text)
    return ""


def port_number(pod: Obj, port: Obj) -> int | None:
    """The number of a service port's target in `pod`; None where the pod has no port of that name."""
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    protocol = port.get("protocol", "TCP")
    restartable = [c for c in dig(pod, "spec.initContainers", []) if c.get("restartPolicy") == "Always"]
    for container in (*dig(pod, "spec.containers", []), *restartable):
        for known in container.get("ports") or ():
            if known.get("name") == target and known.get("protocol", "TCP") == protocol:
                return int(known["containerPort"])
    return None


def ports_of(service: Obj, pod: Obj) -> list[Obj]:
    """The endpoint ports (name, port, protocol, appProtocol) that `pod` offers for `service`."""
    found = []
    for port in dig(service, "spec.ports", []):
        number = port_number(pod, port)
        if number is None:
            continue
        entry = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        found.append(entry)
    return found


def hostname(service: Obj, pod: Obj) -> str:
    """The name under which DNS knows the pod within the service: it must ask for it by its subdomain."""
    same = dig(pod, "spec.subdomain", "") == name_of(service) and namespace_of(pod) == namespace_of(service)
    return str(dig(pod, "spec.hostname", "")) if same else ""


def hints(service: Obj, endpoint: Obj) -> Obj:
    """Who should use a ready endpoint by the service's trafficDistribution: its zone, or its node."""
    if asks_for_zones(service):
        return {}  # they are for all its endpoints together
    wanted, zone, node = (
        dig(service, "spec.trafficDistribution"),
        endpoint.get("zone"),
        endpoint.get("nodeName"),
    )
    if wanted not in (*SAME_ZONE, SAME_NODE) or not endpoint["conditions"]["ready"]:
        return {}
    found: Obj = {"forZones": [{"name": zone}]} if zone else {}
    return found | ({"forNodes": [{"name": node}]} if node and wanted == SAME_NODE else {})


def target(pod: Obj) -> Obj:
    """The reference to the pod."""
    meta = pod["metadata"]
    return {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}


def matters(pod: Obj) -> tuple[object, ...]:
    """All of a pod that its endpoints depend on."""
    ready = next((c.get("status") for c in dig(pod, "status.conditions", []) if c.get("type") == "Ready"), None)
    spec = pod.get("spec") or {}
    return (
        labels_of(pod),
        ready,
        is_deleting(pod),
        is_finished(pod),
        dig(pod, "status.podIPs") or dig(pod, "status.podIP"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


def services_of(services: Iterable[Obj], pod: Obj, old: Obj | None) -> list[Obj]:
    """The services whose endpoints a changed pod may change."""
    return [s for s in services if selects(s, pod) or (old is not None and selects(s, old))]
