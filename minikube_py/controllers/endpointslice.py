"""EndpointSlice controller: the pods behind each Service, in slices of at most 100 endpoints.

Guarantees: a slice is written only if it changes, and a change touches as few slices as can be. Limits: a
Service's slices go with it through their owner reference (garbage collection).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import orjson

from minikube_py.client.base import Change, Index
from minikube_py.controllers import endpointports as points
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.batches import in_parts
from minikube_py.controllers.pods import is_ready
from minikube_py.controllers.selected import POD_LABELS, selected_pods
from minikube_py.controllers.servicepods import due_services
from minikube_py.controllers.topologyhints import (
    DISABLED,
    ENABLED,
    Group,
    asks_for_zones,
    capacity,
    with_zones,
    zone_shares,
)
from minikube_py.errors import NotFound
from minikube_py.kinds.core.node import ZONE, Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import SERVICE_NAME, EndpointSlice
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    dig,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from minikube_py.meta.selectors import Selector

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
LIMIT = 100
SLICES = "controllers/service-slices"


@dataclass(slots=True)
class Changes:
    """Slices to write. Those to update are full objects."""

    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def endpoint(service: Obj, pod: Obj, node: Obj | None, family: str) -> Obj:
    """The endpoint that `pod` is for `service`."""
    serving, terminating = is_ready(pod), is_deleting(pod)
    ready = points.publishes_not_ready(service) or (serving and not terminating)
    made: Obj = {
        "addresses": [points.address(pod, family)],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": points.target(pod),
    }
    optional = {
        "nodeName": dig(pod, "spec.nodeName"),
        "hostname": points.hostname(service, pod),
        "zone": labels_of(node or {}).get(ZONE),
    }
    made |= {name: value for name, value in optional.items() if value}
    hints = points.hints(service, made)
    return made | ({"hints": hints} if hints else {})


def labels(service: Obj) -> dict[str, str]:
    """The labels of a service's slices."""
    own = {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
    headless = {points.HEADLESS_LABEL: ""} if points.is_headless(service) else {}
    return {k: v for k, v in labels_of(service).items() if k != points.HEADLESS_LABEL} | own | headless


State = tuple[str, str, str | None]
Made = tuple[State, list[tuple[Group, Obj]]]
"""All that an endpoint depends on: the versions of the pod and the service, and the node's zone."""


def endpoints_of(service: Obj, pod: Obj, node: Obj | None) -> list[tuple[Group, Obj]]:
    """The endpoints that `pod` is for `service`, one for each address family that it has an address of."""
    ports = points.ports_of(service, pod)
    if not points.has_address(pod) or (not ports and dig(service, "spec.ports")):
        return []
    families = dig(service, "spec.ipFamilies") or ["IPv4"]
    return [
        ((family, _ports_key(ports)), endpoint(service, pod, node, family))
        for family in families
        if points.address(pod, family)
    ]


def plan(service: Obj, wanted: Mapping[Group, Sequence[Obj]], existing: Iterable[Obj]) -> Changes:
    """Bring `existing` slices to the `wanted` endpoints of each group. A Service without any has one slice that
    is empty, so that its consumers know that it was looked at."""
    if not any(wanted.values()):
        return _plan_placeholder(service, list(existing))
    changes, groups = Changes(), dict(wanted)
    by_group: dict[Group, list[Obj]] = {}
    for known in existing:
        group = (known.get("addressType", "IPv4"), _ports_key(known.get("ports") or []))
        by_group.setdefault(group, []).append(known)
    for group, slices in by_group.items():
        _plan_group(changes, service, list(groups.pop(group, ())), slices)
    for (family, ports), endpoints in groups.items():
        for start in range(0, len(endpoints), LIMIT):
            changes.create.append(_new_slice(service, family, ports, endpoints[start : start + LIMIT]))
    return changes


def _plan_placeholder(service: Obj, slices: list[Obj]) -> Changes:
    changes = Changes()
    kept = next((s for s in slices if not s.get("endpoints") and not s.get("ports")), None)
    changes.delete += [known for known in slices if known is not kept]
    if kept is None:
        changes.create.append(_new_slice(service, "IPv4", _ports_key([]), []))
    elif labels_of(kept) != (wanted_labels := labels(service)):
        changes.update.append({**kept, "metadata": {**kept["metadata"], "labels": wanted_labels}})
    return changes


def _plan_group(changes: Changes, service: Obj, endpoints: list[Obj], slices: list[Obj]) -> None:
    """Keep endpoints where they are, put new ones into slices that change anyway or have room, then into new
    slices; empty slices go."""
    left = {_identity(e): e for e in endpoints}
    contents: list[list[Obj]] = []
    for known in slices:
        identities = [_identity(e) for e in known.get("endpoints") or ()]
        contents.append([left.pop(identity) for identity in identities if identity in left])
    changed = [kept != (known.get("endpoints") or []) for kept, known in zip(contents, slices, strict=True)]
    order = sorted(range(len(slices)), key=lambda i: (not changed[i], -len(contents[i])))
    waiting = list(left.values())
    for number in order:
        room = LIMIT - len(contents[number])
        contents[number] += waiting[:room]
        waiting = waiting[room:]
    family, ports = slices[0].get("addressType", "IPv4"), _ports_key(slices[0].get("ports") or [])
    wanted_labels = labels(service)
    for known, kept in zip(slices, contents, strict=True):
        if not kept:
            changes.delete.append(known)
        elif kept != (known.get("endpoints") or []) or labels_of(known) != wanted_labels:
            meta = {**known["metadata"], "labels": wanted_labels}
            changes.update.append({**known, "metadata": meta, "endpoints": kept})
    for start in range(0, len(waiting), LIMIT):
        changes.create.append(_new_slice(service, family, ports, waiting[start : start + LIMIT]))


def _identity(entry: Obj) -> tuple[str, str]:
    return dig(entry, "targetRef.uid", ""), (entry.get("addresses") or [""])[0]


def _ports_key(ports: Sequence[Obj]) -> bytes:
    return orjson.dumps(
        sorted(ports, key=lambda p: (p.get("name", ""), p.get("protocol", ""))), option=orjson.OPT_SORT_KEYS
    )


def _new_slice(service: Obj, family: str, ports: bytes, endpoints: Sequence[Obj]) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(service)}-",
            "namespace": namespace_of(service),
            "labels": labels(service),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": orjson.loads(ports),
    }


def _slice_index(known: Obj) -> Iterable[str]:
    service = labels_of(known).get(SERVICE_NAME)
    mine = labels_of(known).get(MANAGED_BY) == MANAGER
    return (f"{namespace_of(known)}/{service}",) if service and mine else ()


class EndpointSliceController(Controller):
    """Keep each Service's EndpointSlices in step with its pods."""

    name: ClassVar[str] = "endpointslice-controller"
    reconciles, owns = Service, (EndpointSlice,)

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._made: dict[Key, dict[str, Made]] = {}
        self._hinted: set[Key] = set()

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((EndpointSlice, SLICES, _slice_index), POD_LABELS)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: self._pod_changed, Node: self._node_changed}

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        return due_services(self, change, lambda key: len(self._made.get(key, ())))

    def _node_changed(self, change: Change) -> Iterable[Key]:
        """A node's zone is part of its endpoints; what it can do counts for those that are shared out."""
        services: Iterable[Obj] = self.cache.list(Service)
        if labels_of(change.object).get(ZONE) == labels_of(change.old or {}).get(ZONE):
            now = None if change.type == "DELETED" else capacity(change.object)
            if now == (capacity(change.object) if change.type == "DELETED" else capacity(change.old)):
                return ()
            services = filter(asks_for_zones, services)
        return [key_of(service) for service in services]

    async def reconcile(self, key: Key) -> float | None:
        service = self.cache.get(Service, key)
        if service is None or is_deleting(service):
            self._made.pop(key, None)
            self._hinted.discard(key)
            return None
        selector = points.selector_of(service)
        if selector is not None:
            wanted = self._shared_out(service, await self._wanted(service, selector))
            await self._apply(plan(service, wanted, self._slices(key)))
        elif dig(service, "spec.type") == "ExternalName":
            await self._apply(Changes(delete=list(self._slices(key))))
        return None

    def _slices(self, key: Key) -> Sequence[Obj]:
        return self.cache.indexed(EndpointSlice, SLICES, str(key))

    async def _wanted(self, service: Obj, selector: Selector) -> dict[Group, list[Obj]]:
        """The endpoints of `service` by group. What did not change since the last run is not made again: of
        many pods that become ready, each would cost as much as all. The loop may turn meanwhile."""
        pods = selected_pods(self.cache, namespace_of(service), selector)
        before = self._made.get(key_of(service), {})
        made: dict[str, Made] = {}
        wanted: dict[Group, list[Obj]] = {}
        async for part in in_parts(sorted(pods, key=name_of)):
            for pod in part:
                known = made[uid_of(pod)] = self._made_of(service, pod, before.get(uid_of(pod)))
                for group, entry in known[1]:
                    wanted.setdefault(group, []).append(entry)
        self._made[key_of(service)] = made
        return wanted

    def _made_of(self, service: Obj, pod: Obj, known: Made | None) -> Made:
        """The endpoints of a pod: those `known` where nothing of it has changed."""
        node = self.cache.get(Node, Key("", pod["spec"].get("nodeName") or ""))
        zone = labels_of(node or {}).get(ZONE)
        state = (pod["metadata"]["resourceVersion"], service["metadata"]["resourceVersion"], zone)
        if known is not None and known[0] == state:
            return known
        return state, endpoints_of(service, pod, node)

    def _shared_out(self, service: Obj, wanted: dict[Group, list[Obj]]) -> dict[Group, list[Obj]]:
        """The endpoints with their zones, where the service asks for that; events tell when that begins and
        ends, and why it cannot be."""
        key, families = key_of(service), dig(service, "spec.ipFamilies") or ["IPv4"]
        if not asks_for_zones(service):
            for family in families if key in self._hinted else ():
                told = f"Topology Aware Hints has been disabled, addressType: {family}"
                self.events.record(service, "Warning", DISABLED, told)
            self._hinted.discard(key)
            return wanted
        shares = zone_shares(self.cache.list(Node))
        for family in families:
            found = with_zones(wanted, family, shares)
            if isinstance(found, str):
                self._hinted.discard(key)
                self.events.record(service, "Warning", DISABLED, f"{found}, addressType: {family}")
                continue
            if key not in self._hinted:
                told = f"Topology Aware Hints has been enabled, addressType: {family}"
                self.events.record(service, "Normal", ENABLED, told)
            self._hinted.add(key)
            wanted = wanted | found
        return wanted

    async def _apply(self, changes: Changes) -> None:
        for made in changes.create:
            await self.client.create(EndpointSlice, made)
        for changed in changes.update:
            await self.client.update(EndpointSlice, changed)
        for gone in changes.delete:
            try:
                await self.client.delete(EndpointSlice, key_of(gone))
            except NotFound:
                continue
