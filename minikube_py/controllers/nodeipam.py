"""Node IPAM controller: gives each node a range of pod addresses out of the cluster's (spec.podCIDR)."""

import ipaddress
from collections.abc import Iterable
from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.kinds.core.node import Node
from minikube_py.meta.objects import Key, dig, is_deleting


def free_range(cluster: str, mask: int, taken: Iterable[str]) -> str:
    """The first range of `mask` bits within `cluster` that overlaps none of `taken`, or an empty text."""
    used = [ipaddress.ip_network(text) for text in taken]
    for candidate in ipaddress.ip_network(cluster).subnets(new_prefix=mask):
        if not any(other.version == candidate.version and candidate.overlaps(other) for other in used):
            return str(candidate)
    return ""


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
