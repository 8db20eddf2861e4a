"""EndpointSlice mirroring controller: Endpoints that a user keeps for a Service without selector become slices,
as kube-proxy and DNS read only those.

Limits: 1000 addresses per subset are mirrored, in one slice per subset and address family.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Index
from minikube_py.controllers import endpointports as points
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.endpoints import MANAGED_BY as LEGACY_MANAGED_BY
from minikube_py.controllers.endpointslice import MANAGED_BY
from minikube_py.errors import NotFound
from minikube_py.kinds.core.endpoints import Endpoints
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import SERVICE_NAME, EndpointSlice
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
    owner_reference,
)

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MIRRORED = "controllers/mirrored-slices"
NOT_MIRRORED = frozenset(
    ("kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time")
)
LIMIT = 1000


def should_mirror(endpoints: Obj | None, service: Obj | None) -> bool:
    """Whether these Endpoints are a user's, for a Service whose own controller makes no slices."""
    if endpoints is None or service is None or is_deleting(endpoints) or is_deleting(service):
        return False
    skip = labels_of(endpoints).get(SKIP_LABEL) == "true" or LEADER in annotations_of(endpoints)
    return not skip and LEGACY_MANAGED_BY not in labels_of(endpoints) and not dig(service, "spec.selector")


def mirrored(endpoints: Obj) -> list[Obj]:
    """The slices that stand for `endpoints`."""
    slices = []
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
        for family in ("IPv4", "IPv6"):
            found = [
                _endpoint(entry, ready)
                for field, ready in (("addresses", True), ("notReadyAddresses", False))
                for entry in subset.get(field) or ()
                if (":" in entry.get("ip", "")) == (family == "IPv6")
            ]
            if found:
                slices.append(_slice(endpoints, family, found[:LIMIT], ports))
    return slices


def _endpoint(entry: Obj, ready: bool) -> Obj:
    optional = {field: entry.get(field) for field in ("hostname", "nodeName", "targetRef")}
    made: Obj = {"addresses": [entry["ip"]], "conditions": {"ready": ready}}
    return made | {field: value for field, value in optional.items() if value}


def _slice(endpoints: Obj, family: str, found: list[Obj], ports: list[Obj]) -> Obj:
    labels = {k: v for k, v in labels_of(endpoints).items() if k != points.HEADLESS_LABEL}
    notes = {k: v for k, v in annotations_of(endpoints).items() if k not in NOT_MIRRORED}
    annotations = {"annotations": notes} if notes else {}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(endpoints)}-",
            "namespace": namespace_of(endpoints),
            "labels": {**labels, SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER},
            "ownerReferences": [owner_reference(endpoints)],
            **annotations,
        },
        "addressType": family,
        "endpoints": found,
        "ports": ports,
    }


def _contents(known: Obj) -> tuple[object, ...]:
    """What a slice says, whatever its name."""
    return known.get("endpoints"), known.get("ports"), labels_of(known), annotations_of(known)


def _mirrored_index(known: Obj) -> Iterable[str]:
    if labels_of(known).get(MANAGED_BY) != MANAGER:
        return ()
    return (f"{namespace_of(known)}/{labels_of(known).get(SERVICE_NAME)}",)


class EndpointSliceMirroringController(Controller):
    """Keep slices in step with each user's Endpoints."""

    name: ClassVar[str] = "endpointslice-mirroring-controller"
    account: ClassVar[str] = "endpointslicemirroring-controller"
    reconciles, owns = Endpoints, (EndpointSlice,)

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((EndpointSlice, MIRRORED, _mirrored_index),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Service: lambda change: (key_of(change.object),)}

    async def reconcile(self, key: Key) -> float | None:
        endpoints = self.cache.get(Endpoints, key)
        existing = self.cache.indexed(EndpointSlice, MIRRORED, str(key))
        wanted: list[Obj] = []
        if endpoints is not None and should_mirror(endpoints, self.cache.get(Service, key)):
            wanted = mirrored(endpoints)
        elif not existing:
            return None
        spare = sorted(existing, key=name_of)
        for made in wanted:
            fitting = [s for s in spare if s.get("addressType") == made["addressType"]]
            same = [s for s in fitting if _contents(s) == _contents(made)]
            if not fitting:
                await self.client.create(EndpointSlice, made)
                continue
            known = (same or fitting)[0]
            spare.remove(known)
            if not same:
                changed = {"endpoints": made["endpoints"], "ports": made["ports"]}
                notes = {field: made["metadata"].get(field) for field in ("labels", "annotations")}
                meta = {**known["metadata"], **notes}
                await self.client.update(EndpointSlice, {**known, **changed, "metadata": meta})
        for gone in spare:
            try:
                await self.client.delete(EndpointSlice, key_of(gone))
            except NotFound:
                continue
        return None
