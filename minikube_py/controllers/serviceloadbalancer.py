"""Service controller: gives each Service of type LoadBalancer an address of a pool that this machine reaches.

kube-proxy forwards what comes to it. Services with a loadBalancerClass are someone else's, as are those whose
status names an address that is not of the pool. Which addresses are in use is read off the Services, so none is
ever lost; should two have got the same one, the younger gets another.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.kinds.core.service import Service
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, key_of, uid_of

WAITING = "loadbalancer/waiting"
ADDRESSES = "loadbalancer/addresses"


class NoAddress(Exception):
    """A Service cannot have an address; the message says why."""


def is_balanced(service: Obj) -> bool:
    """Whether a Service is to have an address of ours."""
    spec = service.get("spec") or {}
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not is_deleting(service)


def addresses_of(service: Obj) -> list[str]:
    """The addresses in a Service's status."""
    return [one["ip"] for one in dig(service, "status.loadBalancer.ingress", ()) if one.get("ip")]


def address_for(service: Obj, taken: Mapping[str, Obj], pool: str) -> str:
    """The address of a Service: the one that it has, the one that it asks for, or the first that is free in
    `pool` (a range). `taken` are the others' addresses and whose they are. Errors: NoAddress."""
    network = ipaddress.IPv4Network(pool)
    if "IPv4" not in (dig(service, "spec.ipFamilies") or ["IPv4"]):
        raise NoAddress(f"the pool {pool} has no IPv6 addresses")
    asked = dig(service, "spec.loadBalancerIP")
    if asked:
        if not _is_in(asked, network):
            raise NoAddress(f"the address {asked} is not in the pool {pool}")
        if asked in taken and _older(taken[asked], service):
            raise NoAddress(f"the address {asked} is already in use")
        return str(asked)
    for known in addresses_of(service):
        if _is_in(known, network) and not (known in taken and _older(taken[known], service)):
            return known
    free = (str(address) for address in network.hosts() if str(address) not in taken)
    found = next(free, "")
    if not found:
        raise NoAddress(f"no address is free in the pool {pool}")
    return found


def is_others(service: Obj, pool: str) -> bool:
    """Whether someone else has written where a Service answers."""
    ingress = dig(service, "status.loadBalancer.ingress") or ()
    network = ipaddress.IPv4Network(pool)
    return bool(ingress) and not any(_is_in(one.get("ip", ""), network) for one in ingress)


def _is_in(address: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return ipaddress.IPv4Address(address) in network
    except ValueError:
        return False


def _older(one: Obj, other: Obj) -> bool:
    def age(service: Obj) -> tuple[str, str]:
        return str(dig(service, "metadata.creationTimestamp", "")), uid_of(service)

    return age(one) < age(other)


class ServiceLoadBalancer(Controller):
    """Keep the address of each balanced Service in its status."""

    name: ClassVar[str] = "service-controller"
    workers: ClassVar[int] = 1
    reconciles = Service

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (
            (Service, ADDRESSES, addresses_of),
            (Service, WAITING, lambda one: ["yes"] if is_balanced(one) and not addresses_of(one) else []),
        )

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Service: self._others}

    def _others(self, change: Change) -> Iterable[Key]:
        """Those that share an address, and those that wait for one that is free now."""
        gone = set(addresses_of(change.old or {}))
        now = set() if change.type == "DELETED" else set(addresses_of(change.object))
        gone |= set(addresses_of(change.object))
        for address in now:
            yield from map(key_of, self.cache.indexed(Service, ADDRESSES, address))
        if gone - now:
            yield from map(key_of, self.cache.indexed(Service, WAITING, "yes"))

    async def reconcile(self, key: Key) -> float | None:
        service, pool = self.cache.get(Service, key), self.config.load_balancer_pool
        if service is None or not pool or is_others(service, pool):
            return None
        if is_balanced(service):
            await self._balance(service, pool)
        elif addresses_of(service) and not dig(service, "spec.loadBalancerClass") and not is_deleting(service):
            self.events.record(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
            await self.set_status(Service, service, {**service["status"], "loadBalancer": {}})
            self.events.record(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")
        return None

    async def _balance(self, service: Obj, pool: str) -> None:
        taken: dict[str, Obj] = {}
        for other in self.cache.list(Service):
            if uid_of(other) != uid_of(service):
                taken |= dict.fromkeys(addresses_of(other), other)
        try:
            address = address_for(service, taken, pool)
        except NoAddress as fault:
            told = f"Error syncing load balancer: failed to ensure load balancer: {fault}"
            self.events.record(service, "Warning", "SyncLoadBalancerFailed", told)
            return
        if addresses_of(service) == [address]:
            return
        self.events.record(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        status = {
            **(service.get("status") or {}),
            "loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]},
        }
        await self.set_status(Service, service, status)
        self.events.record(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
