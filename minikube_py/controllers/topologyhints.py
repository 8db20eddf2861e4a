"""Topology hints of Services annotated `service.kubernetes.io/topology-mode: Auto`. Pure.

Endpoints are shared out to zones by the CPU that their ready nodes have. A zone gets at most a fifth too few
(KEP-2433); where that cannot be, nobody gets a hint, and the reason is told in Kubernetes' words.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from minikube_py.kinds.core.node import ZONE
from minikube_py.meta.objects import Obj, annotations_of, condition_is, dig, labels_of
from minikube_py.meta.quantity import milli_value

OVERLOAD = 0.2
ENABLED, DISABLED = "TopologyAwareHintsEnabled", "TopologyAwareHintsDisabled"
NO_NODE_INFO = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
TOO_FEW = "Insufficient number of endpoints"
UNBALANCED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
NO_ZONE = "One or more endpoints do not have a zone specified"
_ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
Group = tuple[str, bytes]
"""An address family and its ports: what all endpoints of a slice share."""
_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def asks_for_zones(service: Obj) -> bool:
    """Whether the service wants its endpoints shared out to zones."""
    given = annotations_of(service)
    found = next((given[name] for name in _ANNOTATIONS if name in given), "")
    return found in ("Auto", "auto")


def capacity(node: Obj | None) -> tuple[str, int] | None:
    """The zone and the CPU (in thousandths) that a node counts with; None where it does not count."""
    if node is None or not condition_is(node, "Ready") or any(name in labels_of(node) for name in _EXCLUDED):
        return None
    return labels_of(node).get(ZONE, ""), milli_value(dig(node, "status.allocatable.cpu", "0"))


def zone_shares(nodes: Iterable[Obj]) -> dict[str, float]:
    """The share of the CPU that each zone has; empty where a node does not say, or there is but one zone."""
    total: Counter[str] = Counter()
    for zone, cpu in filter(None, map(capacity, nodes)):
        if not zone or not cpu:
            return {}
        total[zone] += cpu
    return {zone: cpu / total.total() for zone, cpu in total.items()} if len(total) > 1 else {}


def share_out(endpoints: Sequence[Obj], shares: Mapping[str, float]) -> list[str] | str:
    """For each endpoint of one address family the zone that is to use it (empty: it is not ready), or why there
    are no hints."""
    ready = [entry for entry in endpoints if entry["conditions"]["ready"]]
    if not shares:
        return NO_NODE_INFO
    told = f"({len(ready)} endpoints, {len(shares)} zones)"
    if len(shares) > len(ready):
        return f"{TOO_FEW} {told}"
    least = {zone: math.ceil(share * len(ready) / (1 + OVERLOAD)) for zone, share in shares.items()}
    if sum(least.values()) > len(ready):
        return f"{UNBALANCED} {told}"
    if not all(entry.get("zone") for entry in ready):
        return NO_ZONE
    wanted = {zone: max(share * len(ready), least[zone]) for zone, share in shares.items()}
    moves = _moves(Counter(entry["zone"] for entry in ready), wanted)
    zones = []
    for entry in endpoints:
        waiting = moves.get(entry.get("zone", "")) if entry["conditions"]["ready"] else None
        own = entry["zone"] if entry["conditions"]["ready"] else ""
        zones.append(waiting.pop() if waiting else own)
    return zones


def _moves(have: Mapping[str, int], wanted: Mapping[str, float]) -> dict[str, list[str]]:
    """By giving zone, the zones that get an endpoint of it."""
    more = {zone: have.get(zone, 0) - amount for zone, amount in wanted.items()}
    moves: dict[str, list[str]] = {}
    while True:
        giver, taker = max(more, key=lambda zone: more[zone]), min(more, key=lambda zone: more[zone])
        given, needed = more[giver], -more[taker]
        if min(given, needed) < 0.5 or max(given, needed) < 1:
            return moves
        moves.setdefault(giver, []).append(taker)
        more[giver] -= 1
        more[taker] += 1


def with_zones(
    wanted: Mapping[Group, Sequence[Obj]], family: str, shares: Mapping[str, float]
) -> dict[Group, list[Obj]] | str:
    """The endpoints of an address family with the zones that are to use them, or why they have none."""
    groups = {group: endpoints for group, endpoints in wanted.items() if group[0] == family}
    zones = share_out([entry for endpoints in groups.values() for entry in endpoints], shares)
    if isinstance(zones, str):
        return zones
    left = iter(zones)
    return {
        group: [
            entry | ({"hints": {"forZones": [{"name": zone}]}} if (zone := next(left)) else {})
            for entry in endpoints
        ]
        for group, endpoints in groups.items()
    }
