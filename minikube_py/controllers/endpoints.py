"""Endpoints controller: the legacy form of a Service's endpoints, one Endpoints object of the same name.

Limits: at most 1000 addresses, as in Kubernetes; beyond it the object says so by an annotation.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import orjson

from minikube_py.client.base import Change, Index
from minikube_py.controllers import endpointports as points
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.pods import is_ready
from minikube_py.controllers.selected import POD_LABELS, selected_pods
from minikube_py.controllers.servicepods import due_services
from minikube_py.errors import NotFound
from minikube_py.kinds.core.endpoints import Endpoints
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
)

MANAGED_BY, MANAGER = "endpoints.kubernetes.io/managed-by", "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000


def _entry(service: Obj, pod: Obj) -> Obj:
    optional = {"hostname": points.hostname(service, pod), "nodeName": pod["spec"].get("nodeName")}
    made = {"ip": points.address(pod) or pod["status"]["podIP"], "targetRef": points.target(pod)}
    return made | {name: value for name, value in optional.items() if value}


def subsets(service: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """The subsets of the selected `pods`: those with the same ports together, ready ones apart."""
    groups: dict[bytes, dict[str, list[Obj]]] = {}
    always, has_ports = points.publishes_not_ready(service), bool(dig(service, "spec.ports"))
    for pod in pods:
        ports = points.ports_of(service, pod)
        leaves = is_deleting(pod) and not always
        if not points.has_address(pod) or leaves or (not ports and has_ports):
            continue
        ready = always or is_ready(pod)
        group = groups.setdefault(orjson.dumps(ports, option=orjson.OPT_SORT_KEYS), {})
        group.setdefault("addresses" if ready else "notReadyAddresses", []).append(_entry(service, pod))
    found = []
    for ports_key in sorted(groups):
        subset: dict[str, Any] = {
            field: sorted(groups[ports_key][field], key=lambda a: a["ip"])
            for field in ("addresses", "notReadyAddresses")
            if field in groups[ports_key]
        }
        if ports := orjson.loads(ports_key):
            subset["ports"] = [{k: v for k, v in port.items() if v != ""} for port in ports]
        found.append(subset)
    return found


def truncate(found: Sequence[Obj], capacity: int) -> tuple[list[Obj], bool]:
    """At most `capacity` addresses, ready ones first; whether some were left out."""
    left, cut, kept = capacity, False, [dict(subset) for subset in found]
    for field in ("addresses", "notReadyAddresses"):
        for subset in kept:
            have = subset.get(field, [])
            cut = cut or len(have) > left
            if have[:left]:
                subset[field] = have[:left]
            else:
                subset.pop(field, None)
            left -= len(have[:left])
    return [s for s in kept if s.get("addresses") or s.get("notReadyAddresses")], cut


def wanted(service: Obj, pods: Sequence[Obj], known: Obj | None) -> Obj:
    """The Endpoints object of `service`; `known` is the one that exists."""
    kept, cut = truncate(subsets(service, pods), CAPACITY)
    labels = {**labels_of(service), MANAGED_BY: MANAGER}
    labels.pop(points.HEADLESS_LABEL, None)
    if points.is_headless(service):
        labels[points.HEADLESS_LABEL] = ""
    annotations = {k: v for k, v in annotations_of(known or {}).items() if k != OVER_CAPACITY}
    if cut:
        annotations[OVER_CAPACITY] = "truncated"
    meta = {**(known or {}).get("metadata", {}), "name": name_of(service), "namespace": namespace_of(service)}
    meta["labels"] = labels
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    made: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
    return made | ({"subsets": kept} if kept else {})


class EndpointsController(Controller):
    """Keep each Service's Endpoints in step with its pods."""

    name: ClassVar[str] = "endpoints-controller"
    account: ClassVar[str] = "endpoint-controller"
    reconciles = Service

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._sizes: dict[Key, int] = {}  # by Service: its pods

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (POD_LABELS,)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: self._pod_changed, Endpoints: lambda change: (key_of(change.object),)}

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        return due_services(self, change, lambda key: self._sizes.get(key, 0))

    async def reconcile(self, key: Key) -> float | None:
        service, known = self.cache.get(Service, key), self.cache.get(Endpoints, key)
        if service is None:
            self._sizes.pop(key, None)
            if known is not None and labels_of(known).get(MANAGED_BY) == MANAGER:
                await self._delete(key)
            return None
        selector = points.selector_of(service)
        if is_deleting(service) or selector is None:
            return None
        pods = selected_pods(self.cache, key.namespace, selector)
        self._sizes[key] = len(pods)
        made = wanted(service, pods, known)
        if known is None:
            await self.client.create(Endpoints, made)
        elif (made.get("subsets"), made["metadata"]) != (known.get("subsets"), known["metadata"]):
            await self.client.update(Endpoints, made)
        return None

    async def _delete(self, key: Key) -> None:
        try:
            await self.client.delete(Endpoints, key)
        except NotFound:
            return
