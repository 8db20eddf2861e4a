"""Allocators: which service addresses and node ports are taken, rebuilt from the stored Services.

An allocator is memory of the store: it follows the changes of Services, so that whatever removes one frees
what it held. A claim reserves at once, before the write is committed, and gives back if the write fails;
as nothing waits in between, two requests never get the same number.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from minikube_py.errors import Cause, InternalError
from minikube_py.kinds.core.serviceaddresses import validate_addresses
from minikube_py.kinds.networking.ipaddress import IPAddress
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid, invalid_error
from minikube_py.registry.base import ClusterFacts
from minikube_py.registry.entries import decoded
from minikube_py.registry.ranges import Pool, RangeFull, ServiceRanges, port_pool
from minikube_py.store.base import Event, Store

PREFIX = "/registry/services/"


def has_cluster_ip(service: Obj) -> bool:
    """Whether the Service's type asks for an address (ExternalName does not)."""
    return (service.get("spec") or {}).get("type", "ClusterIP") != "ExternalName"


def addresses_of(service: Obj) -> list[str]:
    """The addresses that a Service holds; a headless one holds none."""
    spec = service.get("spec") or {}
    listed = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [ip for ip in listed if ip and ip != "None"] if has_cluster_ip(service) else []


def ports_of(service: Obj) -> set[int]:
    """The node ports that a Service holds."""
    spec = service.get("spec") or {}
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if health := spec.get("healthCheckNodePort"):
        ports.add(health)
    return ports


@dataclass(slots=True)
class Claim:
    """Numbers reserved for a write under way; `release` gives them back (once it is stored, the stored
    Service holds them itself)."""

    held: list[tuple[Pool, int]] = field(default_factory=list)

    def add(self, pool: Pool, number: int) -> None:
        """Reserve `number` of `pool`."""
        pool.hold(number)
        self.held.append((pool, number))

    def release(self) -> None:
        """End the reservation; more than once is harmless."""
        for pool, number in self.held:
            pool.release(number)
        self.held.clear()


class ServiceAllocator:
    """Gives Services their addresses and node ports."""

    def __init__(self, store: Store, facts: ClusterFacts) -> None:
        self._addresses = ServiceRanges(store, facts.service_cidr)
        self._ports = port_pool(*facts.node_port_range)
        self._family = f"IPv{self._addresses.version}"
        for prefix in (PREFIX, IPAddress.prefix()):
            for entry in store.list(prefix).entries:
                self._count(decoded(entry), by=1)
        self._subscriptions = [store.subscribe(prefix, self._follow) for prefix in (PREFIX, IPAddress.prefix())]

    def close(self) -> None:
        """Follow the store no longer."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        self._addresses.close()

    def _follow(self, event: Event) -> None:
        if not event.deleted:
            self._count(decoded(event.entry), by=1)
        if event.previous is not None:
            self._count(decoded(event.previous), by=-1)

    def _count(self, service: Obj, *, by: int) -> None:
        """Count what a Service or an IPAddress holds: one holder more (1) or less (-1)."""
        is_address = service.get("kind") == IPAddress.kind
        change = self._addresses.hold if by > 0 else self._addresses.release
        for address in [service["metadata"]["name"]] if is_address else addresses_of(service):
            if (number := _number(address)) >= 0:
                change(number)
        for port in ports_of(service):
            (self._ports.hold if by > 0 else self._ports.release)(port)

    def claim(self, kind: Kind, service: Obj, old: Obj | None) -> Claim:
        """Fill in missing addresses and node ports, in place; what `old` holds may be kept. The caller releases
        the claim once the write has ended, well or not. Errors: Invalid, InternalError (a range is full)."""
        claim = Claim()
        spec = service.get("spec")
        if not isinstance(spec, dict):
            return claim
        try:
            causes = [*self._claim_addresses(service, old, claim), *self._claim_ports(service, old, claim)]
        except RangeFull as error:
            claim.release()
            raise InternalError(f"Internal error occurred: failed to allocate: {error}") from error
        if causes:
            claim.release()
            raise invalid_error(kind, service["metadata"].get("name", ""), causes)
        return claim

    def _claim_addresses(self, service: Obj, old: Obj | None, claim: Claim) -> Iterable[Cause]:
        spec = service["spec"]
        if not has_cluster_ip(service):
            return
        if wrong := [*validate_addresses(spec), *self._unserved(spec)]:
            yield from wrong
            return
        spec["ipFamilies"] = [self._family]
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        asked = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if asked == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
            return
        if not asked:
            pool, number = self._addresses.pick()
            claim.add(pool, number)
            asked = str(ipaddress.ip_address(number))
        elif asked not in (addresses_of(old) if old else ()):
            problem = self._take_address(asked, claim)
            if problem:
                yield problem
        spec["clusterIP"] = asked
        spec["clusterIPs"] = spec.get("clusterIPs") or [asked]

    def _unserved(self, spec: Obj) -> Iterable[Cause]:
        policy = spec.get("ipFamilyPolicy")
        if policy == "RequireDualStack":
            told = "this cluster is not configured for dual-stack services"
            yield invalid("spec.ipFamilyPolicy", policy, told)
        for index, family in enumerate(spec.get("ipFamilies") or ()):
            if family != self._family:
                yield invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")

    def _take_address(self, asked: str, claim: Claim) -> Cause | None:
        number = _number(asked)
        found = self._addresses.find(number)
        if found is None:
            why = "the provided network does not match the current range"
        elif found[1] is None:
            why = f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {found[0]}"
        elif not found[1].is_free(number):
            why = "provided IP is already allocated"
        else:
            claim.add(found[1], number)
            return None
        return invalid("spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {why}")

    def _claim_ports(self, service: Obj, old: Obj | None, claim: Claim) -> Iterable[Cause]:
        spec = service["spec"]
        held = ports_of(old) if old else set()
        ports = [p for p in spec.get("ports") or () if isinstance(p, dict)]
        wanted = spec.get("type") == "NodePort" or (
            spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
        )
        taken: dict[int, set[str]] = {}  # one node port may serve one port number by several protocols
        for index, port in enumerate(ports):
            if asked := port.get("nodePort"):
                protocol = port.get("protocol", "TCP")
                if asked in held or (asked in taken and protocol not in taken[asked]):
                    pass
                elif problem := self._take_port(asked, f"spec.ports[{index}].nodePort", claim):
                    yield problem
                taken.setdefault(asked, set()).add(protocol)
        for port in ports if wanted else ():
            if not port.get("nodePort"):
                port["nodePort"] = self._twin(port, ports) or self._pick_port(claim)
        yield from self._claim_health_port(spec, held, claim)

    def _twin(self, port: Obj, ports: list[Obj]) -> int:
        """The node port of the same port number by another protocol, which this one may share."""
        protocol = port.get("protocol", "TCP")
        return next(
            (
                other["nodePort"]
                for other in ports
                if other.get("nodePort")
                and other.get("port") == port.get("port")
                and other.get("protocol", "TCP") != protocol
            ),
            0,
        )

    def _claim_health_port(self, spec: Obj, held: set[int], claim: Claim) -> Iterable[Cause]:
        local = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
        asked = spec.get("healthCheckNodePort")
        if not local:
            if not asked:
                spec.pop("healthCheckNodePort", None)
            return
        if not asked:
            spec["healthCheckNodePort"] = self._pick_port(claim)
        elif asked not in held and (problem := self._take_port(asked, "spec.healthCheckNodePort", claim)):
            yield problem

    def _pick_port(self, claim: Claim) -> int:
        number = self._ports.pick()
        claim.add(self._ports, number)
        return number

    def _take_port(self, asked: int, path: str, claim: Claim) -> Cause | None:
        if not isinstance(asked, int) or asked not in self._ports:
            valid = f"{self._ports.low}-{self._ports.high}"
            return invalid(
                path, asked, f"provided port is not in the valid range. The range of valid ports is {valid}"
            )
        if not self._ports.is_free(asked):
            return invalid(path, asked, "provided port is already allocated")
        claim.add(self._ports, asked)
        return None


def _number(address: str) -> int:
    """The address as a number, -1 where it is none."""
    try:
        return int(ipaddress.ip_address(address))
    except ValueError:
        return -1
