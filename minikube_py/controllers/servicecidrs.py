"""ServiceCIDR controller: says which ranges are ready, and keeps one while addresses of it are in use.

A range that another one contains may go at any time: its addresses belong to the other one then (KEP-1880).
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.errors import NotFound
from minikube_py.kinds.core.protection import protected, unprotected
from minikube_py.kinds.networking.ipaddress import IPAddress
from minikube_py.kinds.networking.servicecidr import FINALIZER, ServiceCIDR, ready
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, labels_of, name_of, with_condition

READY = "Kubernetes Service CIDR is ready"
HELD = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
MANAGED_BY = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(cidr: Obj) -> list[Network]:
    """The ranges of a ServiceCIDR."""
    return [ipaddress.ip_network(text) for text in dig(cidr, "spec.cidrs", ())]


def in_use(cidr: Obj, others: Iterable[Obj], addresses: Iterable[Obj]) -> bool:
    """Whether a Service's address lies in the ranges of `cidr`, and in those of no other that stays."""
    kept = [
        network
        for other in others
        if name_of(other) != name_of(cidr) and not is_deleting(other)
        for network in networks(other)
    ]
    held = [
        ipaddress.ip_address(name_of(address))
        for address in addresses
        if labels_of(address).get(MANAGED_BY[0]) == MANAGED_BY[1]
    ]
    return any(
        ip in network and not any(ip in other for other in kept) for network in networks(cidr) for ip in held
    )


class ServiceCIDRController(Controller):
    """Keep the Ready condition and the finalizer of each ServiceCIDR."""

    name: ClassVar[str] = "service-cidr-controller"
    account: ClassVar[str] = "service-cidrs-controller"
    reconciles = ServiceCIDR

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {IPAddress: self._leaving, ServiceCIDR: self._leaving}

    def _leaving(self, change: Change) -> list[Key]:
        """The ranges that wait for addresses to go, or for a range that takes them over."""
        return [key_of(cidr) for cidr in self.cache.list(ServiceCIDR) if is_deleting(cidr)]

    async def reconcile(self, key: Key) -> float | None:
        cidr = self.cache.get(ServiceCIDR, key)
        if cidr is None:
            return None
        try:
            await (self._leave(cidr) if is_deleting(cidr) else self._welcome(cidr))
        except NotFound:
            return None
        return None

    async def _welcome(self, cidr: Obj) -> None:
        if (wanted := protected(cidr, FINALIZER)) is not None:
            cidr = await self.client.update(ServiceCIDR, wanted)
        if (dig(cidr, "status.conditions") or [{}])[0].get("status") != "True":
            await self.set_status(ServiceCIDR, cidr, ready(cidr.get("status") or {}, READY, self.clock.now()))

    async def _leave(self, cidr: Obj) -> None:
        if in_use(cidr, self.cache.list(ServiceCIDR), self.cache.list(IPAddress)):
            status = cidr.get("status") or {}
            held = {"type": "Ready", "status": "False", "reason": "Terminating", "message": HELD}
            conditions = with_condition(status.get("conditions") or (), held, self.clock.now())
            await self.set_status(ServiceCIDR, cidr, {**status, "conditions": conditions})
        elif (wanted := unprotected(cidr, FINALIZER)) is not None:
            await self.client.update(ServiceCIDR, wanted)
