"""What the cluster's zone answers: Kubernetes' DNS specification 1.1 as a pure function of a view.

Services (A, SRV, CNAME for ExternalName), headless Services (one A per ready endpoint, and one by each
endpoint's host name), pods (a-b-c-d.ns.pod), reverse names. A name that exists without the asked type gives
no records and no error; another name gives NXDOMAIN. IPv6 is answered where addresses are IPv6.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from minikube_py.dns import wire
from minikube_py.kinds.discovery.endpointslice import SERVICE_NAME
from minikube_py.meta.objects import Obj, dig, name_of, namespace_of

SPECIFICATION = "1.1.0"


class View(Protocol):
    """What the zone is made of."""

    def service(self, namespace: str, name: str) -> Obj | None: ...
    def slices(self, namespace: str, service: str) -> Iterable[Obj]: ...
    def has_namespace(self, name: str) -> bool: ...
    def service_by_ip(self, address: str) -> Obj | None: ...
    def slices_by_ip(self, address: str) -> Iterable[Obj]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """code is NOERROR or NXDOMAIN; `follow` is a name outside the zone that a CNAME leads to."""

    records: Sequence[wire.Record] = ()
    code: int = wire.NOERROR
    follow: str = ""


NAME_SERVICE = ("kube-system", "kube-dns")
"""The namespace and name of the Service that leads to the name server."""
NO_NAME = Answer(code=wire.NXDOMAIN)
NO_DATA = Answer()


@dataclass(frozen=True, slots=True)
class Zone:
    """The cluster domain, such as cluster.local, and how long its answers may be kept (seconds)."""

    domain: str
    view: View
    ttl: int = 5

    def holds(self, name: str) -> bool:
        """Whether this zone, not an upstream server, answers for `name`."""
        return name == self.domain or name.endswith("." + self.domain)

    def answer(self, name: str, type: int) -> Answer:
        """The answer for a name of the zone (lower case, no final dot)."""
        if name == self.domain:
            return self._apex(name, type)
        labels = name[: -len(self.domain) - 1].split(".")
        if labels == ["dns-version"]:
            return _of_type([wire.txt(name, SPECIFICATION, self.ttl)], type)
        if labels == ["ns", "dns"]:
            return _of_type(list(self._name_server(name)), type)
        match labels[-1]:
            case "svc":
                return self._service_name(name, labels[:-1], type)
            case "pod":
                return self._pod_name(name, labels[:-1], type)
        return NO_NAME

    def _apex(self, name: str, type: int) -> Answer:
        """Who is responsible for the zone."""
        server = wire.Record(name, wire.NS, self.ttl, wire.encode_name(f"ns.dns.{name}"))
        return _of_type([wire.soa(name, 1, self.ttl), server], type)

    def _name_server(self, name: str) -> Iterator[wire.Record]:
        service = self.view.service(*NAME_SERVICE)
        for address in dig(service, "spec.clusterIPs") or ():
            yield wire.a(name, address, self.ttl)

    def _pod_name(self, name: str, labels: list[str], type: int) -> Answer:
        if not labels:
            return NO_DATA
        if not self.view.has_namespace(labels[-1]):
            return NO_NAME
        if len(labels) == 1:
            return NO_DATA
        address = _undashed(labels[0]) if len(labels) == 2 else ""
        return _of_type([wire.a(name, address, self.ttl)], type) if address else NO_NAME

    def _service_name(self, name: str, labels: list[str], type: int) -> Answer:
        if not labels:
            return NO_DATA
        if len(labels) == 1:
            return NO_DATA if self.view.has_namespace(labels[0]) else NO_NAME
        namespace, service_name, rest = labels[-1], labels[-2], labels[:-2]
        service = self.view.service(namespace, service_name)
        if service is None:
            return NO_NAME
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return self._external(name, spec) if not rest else NO_NAME
        if len(rest) == 2 and all(label.startswith("_") for label in rest):
            return self._ports(name, service, rest[0][1:], rest[1][1:], type)
        if is_headless(service):
            return self._headless(name, service, rest, type)
        if rest:
            return self._one_endpoint(name, service, rest, type)
        addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
        records = [wire.a(name, address, self.ttl) for address in addresses if address]
        if type == wire.SRV:
            return Answer([r for p in spec.get("ports") or () for r in self._srv(name, service, p)])
        return _of_type(records, type)

    def _external(self, name: str, spec: Obj) -> Answer:
        target = str(spec["externalName"]).rstrip(".").lower()
        return Answer([wire.cname(name, target, self.ttl)], follow=target)

    def _known_port_prefix(self, service: Obj, rest: list[str]) -> Answer:
        protocols = {f"_{p.get('protocol', 'TCP').lower()}" for p in service["spec"].get("ports") or ()}
        return NO_DATA if len(rest) == 1 and rest[0] in protocols else NO_NAME

    def _headless(self, name: str, service: Obj, rest: list[str], type: int) -> Answer:
        endpoints = list(self._endpoints(service))
        if rest:
            return self._one_endpoint(name, service, rest, type)
        if not endpoints:
            return NO_NAME
        addresses = dict.fromkeys(address for _, address, _ in endpoints)
        if type == wire.SRV:
            return Answer([r for p in service["spec"].get("ports") or () for r in self._srv(name, service, p)])
        return _of_type([wire.a(name, address, self.ttl) for address in addresses], type)

    def _one_endpoint(self, name: str, service: Obj, rest: list[str], type: int) -> Answer:
        """An endpoint by its host name or its address, as the name server of kubeadm's clusters knows those of
        every Service."""
        found = [e[1] for e in self._endpoints(service) if len(rest) == 1 and e[0] == rest[0]]
        if not found:
            return self._known_port_prefix(service, rest)
        return _of_type([wire.a(name, address, self.ttl) for address in dict.fromkeys(found)], type)

    def _endpoints(self, service: Obj) -> Iterator[tuple[str, str, Sequence[Obj]]]:
        """(host label, address, ports) of each endpoint that the service publishes."""
        every = dig(service, "spec.publishNotReadyAddresses", False)
        for slice in self.view.slices(namespace_of(service), name_of(service)):
            for endpoint in slice.get("endpoints") or ():
                if every or dig(endpoint, "conditions.ready", True):
                    for address in endpoint.get("addresses") or ():
                        label = endpoint.get("hostname") or _dashed(address)
                        yield label, address, slice.get("ports") or ()

    def _ports(self, name: str, service: Obj, port: str, protocol: str, type: int) -> Answer:
        matching = [
            p
            for p in service["spec"].get("ports") or ()
            if p.get("name", "") == port and p.get("protocol", "TCP").lower() == protocol
        ]
        records = [record for p in matching for record in self._srv(name, service, p)]
        if not records:
            return NO_NAME
        return Answer(records) if type in (wire.SRV, wire.ANY) else NO_DATA

    def _srv(self, name: str, service: Obj, port: Obj) -> Iterator[wire.Record]:
        base = self.name_of(service)
        if not is_headless(service):
            yield wire.srv(name, int(port["port"]), base, self.ttl)
            return
        wanted = (port.get("name") or "", port.get("protocol") or "TCP")
        for label, _, ports in self._endpoints(service):
            for found in ports:
                if (found.get("name") or "", found.get("protocol") or "TCP") == wanted and found.get("port"):
                    yield wire.srv(name, int(found["port"]), f"{label}.{base}", self.ttl)

    def name_of(self, service: Obj) -> str:
        """The full name of a service, without the final dot."""
        return f"{name_of(service)}.{namespace_of(service)}.svc.{self.domain}"

    def reverse(self, name: str, type: int) -> Answer | None:
        """The answer for a name below in-addr.arpa; None where the address is not the cluster's."""
        address = _address_of(name)
        if not address:
            return None
        targets = []
        if service := self.view.service_by_ip(address):
            targets.append(self.name_of(service))
        for slice in self.view.slices_by_ip(address):
            service_name = dig(slice, "metadata.labels", {}).get(SERVICE_NAME, "")
            service = self.view.service(namespace_of(slice), service_name)
            if service is None or not is_headless(service):
                continue
            labels = (
                endpoint.get("hostname") or _dashed(address)
                for endpoint in slice.get("endpoints") or ()
                if address in (endpoint.get("addresses") or ())
            )
            targets.extend(f"{label}.{self.name_of(service)}" for label in labels)
        if not targets:
            return None
        return _of_type([wire.ptr(name, target, self.ttl) for target in dict.fromkeys(targets)], type)


def is_headless(service: Obj) -> bool:
    """Whether the service has no virtual address of its own."""
    return service["spec"].get("clusterIP") == "None"


def _of_type(records: Sequence[wire.Record], type: int) -> Answer:
    return Answer([record for record in records if type in (record.type, wire.ANY)])


def _dashed(address: str) -> str:
    return address.replace(".", "-").replace(":", "-")


def _undashed(label: str) -> str:
    try:
        return str(IPv4Address(label.replace("-", ".")))
    except ValueError:
        return ""


def _address_of(name: str) -> str:
    labels = name.removesuffix(".in-addr.arpa").split(".")
    try:
        return str(IPv4Address(".".join(reversed(labels)))) if len(labels) == 4 else ""
    except ValueError:
        return ""
