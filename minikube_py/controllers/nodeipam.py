"""Node IPAM controller: gives each node a range of pod addresses out of the cluster's (spec.podCIDR).

Simulated nodes get none: their pods have no network, and are more than the cluster has ranges for.
"""

import ipaddress
from collections.abc import Iterable
from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.kinds.core.node import Node, is_simulated
from minikube_py.meta.objects import Key, dig, is_deleting


def free_range(cluster: str, mask: int, taken: Iterable[str]) -> str:
    """The first range of `mask` bits within `cluster` that overlaps none of `taken`, or an empty text."""
    whole = ipaddress.ip_network(cluster)
    begin, size = int(whole.network_address), 2 ** (whole.max_prefixlen - mask)
    used: set[int] = set()  # numbers of ranges
    for other in map(ipaddress.ip_network, taken):
        if other.version == whole.version and other.overlaps(whole):
            first = max(int(other.network_address), begin) - begin
            last = min(int(other.broadcast_address), int(whole.broadcast_address)) - begin
            used.update(range(first // size, last // size + 1))
    number = next((n for n in range(whole.num_addresses // size) if n not in used), None)
    return f"{whole.network_address + number * size}/{mask}" if number is not None else ""


class NodeIpamController(Controller):
    """Allocate a pod range to each node that has none. One worker: two nodes never get the same range."""

    name: ClassVar[str] = "node-ipam-controller"
    account: ClassVar[str] = "node-controller"
    reconciles = Node
    workers: ClassVar[int] = 1

    async def reconcile(self, key: Key) -> float | None:
        node = self.cache.get(Node, key)
        if node is None or is_deleting(node) or dig(node, "spec.podCIDR") or not self.config.cluster_cidr:
            return None
        if is_simulated(node):
            return None
        taken = [cidr for other in self.cache.list(Node) if (cidr := dig(other, "spec.podCIDR"))]
        found = free_range(self.config.cluster_cidr, self.config.node_cidr_mask, taken)
        if not found:
            message = f"Node {key.name} status is now: CIDRNotAvailable"
            self.events.record(node, "Normal", "CIDRNotAvailable", message)
            return 60.0
        meta = {"resourceVersion": node["metadata"]["resourceVersion"]}
        body = {"metadata": meta, "spec": {"podCIDR": found, "podCIDRs": [found]}}
        await self.client.patch(Node, key, body)
        return None
