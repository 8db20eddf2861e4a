"""Cluster DNS: answers for the cluster's domain from the client's cache, forwards the rest.

Serves UDP and TCP on the same addresses. A response is remembered until an object that it may come from
changes, so a query is told what the API server has just told everyone. An upstream that does not answer within
2 s is skipped for the next; where all are silent, or none is known, the client gets SERVFAIL.
"""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Change, Client
from minikube_py.dns import wire
from minikube_py.dns.forward import Forwarder, addresses_in
from minikube_py.dns.publish import publish
from minikube_py.dns.records import Answer, Zone
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice, service_of_slice
from minikube_py.meta.objects import Key, Obj, dig

IDLE_TIMEOUT = 10.0
MAX_FORWARDS = 1000
"""Queries that wait for upstream at once; beyond it clients get SERVFAIL."""
MAX_KNOWN = 2048
"""Responses that are kept as long as no Service, EndpointSlice or Namespace changes; few MB at most."""


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Where to listen, the cluster's domain, and whom to ask about everything else (host or host:port)."""

    addresses: Sequence[str]
    port: int = 53
    domain: str = "cluster.local"
    upstreams: Sequence[str] = ()
    cluster_ip: str = ""
    """The address of the kube-dns Service, which leads to the last of `addresses`; empty: there is none."""


def upstreams_of(resolv_conf: Path) -> list[str]:
    """The name servers that a resolv.conf names; none where it cannot be read."""
    try:
        lines = resolv_conf.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [entry[1] for entry in words if len(entry) > 1 and entry[0] == "nameserver" and "%" not in entry[1]]


class CacheView:
    """The zone's view of the client's cache; indexes are kept by the cache."""

    def __init__(self, client: Client) -> None:
        self._cache = client.cache
        self._cache.add_index(EndpointSlice, "service", service_of_slice)
        self._cache.add_index(EndpointSlice, "address", _addresses_of_slice)
        self._cache.add_index(Service, "cluster-ip", _cluster_ips)

    def service(self, namespace: str, name: str) -> Obj | None:
        return self._cache.get(Service, Key(namespace, name))

    def slices(self, namespace: str, service: str) -> Iterable[Obj]:
        return self._cache.indexed(EndpointSlice, "service", f"{namespace}/{service}")

    def has_namespace(self, name: str) -> bool:
        return self._cache.get(Namespace, Key("", name)) is not None

    def service_by_ip(self, address: str) -> Obj | None:
        found = self._cache.indexed(Service, "cluster-ip", address)
        return found[0] if found else None

    def slices_by_ip(self, address: str) -> Iterable[Obj]:
        return self._cache.indexed(EndpointSlice, "address", address)


def _addresses_of_slice(slice: Obj) -> Iterable[str]:
    return (address for e in slice.get("endpoints") or () for address in e.get("addresses") or ())


def _cluster_ips(service: Obj) -> Iterable[str]:
    spec = service.get("spec") or {}
    return (ip for ip in dig(spec, "clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None")


class DnsServer:
    """Serves DNS until cancelled."""

    name = "cluster-dns"

    def __init__(self, client: Client, config: DnsConfig) -> None:
        self._config = config
        self._client = client
        self._zone = Zone(config.domain, CacheView(client))
        self._forwarder = Forwarder(config.upstreams)
        self._tasks = Tasks("dns")
        self._known: dict[tuple[bytes, int], bytes] = {}  # (query, limit) > response, both without their id
        self._follows = False  # whether a change empties `_known`
        self.queries = 0

    async def run(self, ready: asyncio.Event) -> None:
        """Listen on every address by UDP and TCP. Errors: OSError where a port is taken."""
        loop = asyncio.get_running_loop()
        transports: list[asyncio.DatagramTransport] = []
        servers: list[asyncio.Server] = []
        cache = self._client.cache
        stops = [cache.subscribe(kind, self._forget) for kind in (Service, EndpointSlice, Namespace)]
        self._follows = True
        try:
            for address in self._config.addresses:
                where = (address, self._config.port)
                transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=where)
                transports.append(transport)
                servers.append(await asyncio.start_server(self._serve_tcp, *where))
            if self._config.cluster_ip:
                where = (self._config.addresses[-1], self._config.port)
                await publish(self._client, self._config.cluster_ip, *where)
            ready.set()
            await asyncio.Event().wait()
        finally:
            self._follows = False
            self._known.clear()
            for stop in stops:
                stop()
            for transport in transports:
                transport.close()
            for server in servers:
                server.close()
            await self._tasks.cancel()

    def respond(self, message: bytes, limit: int) -> "bytes | Pending":
        """The response at once, or what must be asked upstream first. Errors: Malformed."""
        self.queries += 1
        asked = (message[2:], limit)
        if (known := self._known.get(asked)) is not None:
            return message[:2] + known
        response = self._respond(message, limit)
        if self._follows and isinstance(response, bytes) and len(message) <= wire.PLAIN_UDP:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[asked] = response[2:]
        return response

    def _forget(self, _: Change) -> None:
        self._known.clear()

    def _respond(self, message: bytes, limit: int) -> "bytes | Pending":
        query = wire.parse(message)
        limit = min(limit, query.udp_size) if limit <= wire.EDNS_UDP else limit
        if query.opcode:
            return wire.answer(query, (), code=wire.NOTIMP, authoritative=False)
        if self._zone.holds(query.name):
            answer = self._zone.answer(query.name, query.type)
            if answer.follow and query.type != wire.CNAME:
                return self._follow(query, answer, limit)
            return self._render(query, answer, limit)
        if query.name.endswith(".in-addr.arpa") and (found := self._zone.reverse(query.name, query.type)):
            return self._render(query, found, limit)
        return Pending(query, message, limit)

    def _follow(self, query: wire.Query, answer: Answer, limit: int) -> "bytes | Pending":
        """An ExternalName: a target in the zone is resolved here, another one upstream."""
        if self._zone.holds(answer.follow):
            target = self._zone.answer(answer.follow, query.type)
            return self._render(query, Answer([*answer.records, *target.records]), limit)
        question = wire.encode_name(answer.follow) + query.type.to_bytes(2, "big") + b"\0\1"
        message = struct.pack("!HHHHHH", query.id, 0x0100, 1, 0, 0, 0) + question
        return Pending(query, message, limit, answer)

    def _render(self, query: wire.Query, answer: Answer, limit: int) -> bytes:
        authority = () if answer.records else (wire.soa(self._zone.domain, 1, self._zone.ttl),)
        return wire.answer(query, answer.records, code=answer.code, authority=authority, limit=limit)

    async def resolve(self, pending: "Pending", *, tcp: bool) -> bytes:
        """Ask upstream; SERVFAIL where nobody answers."""
        query = pending.query
        found = await self._forwarder.ask(pending.message, tcp=tcp)
        if pending.alias is not None:
            addresses = addresses_in(found) if found else []
            target = pending.alias.follow
            records = [
                wire.Record(target, kind, ttl, data) for kind, ttl, data in addresses if kind == query.type
            ]
            return wire.answer(query, [*pending.alias.records, *records], limit=pending.limit)
        if found is None:
            return wire.answer(query, (), code=wire.SERVFAIL, authoritative=False)
        return found

    def spawn(self, pending: "Pending", transport: asyncio.DatagramTransport, peer: tuple[str, int]) -> None:
        """Resolve in the background and answer by UDP."""
        if len(self._tasks) >= MAX_FORWARDS:
            transport.sendto(wire.answer(pending.query, (), code=wire.SERVFAIL, authoritative=False), peer)
            return
        self._tasks.spawn(self._forward(pending, transport, peer), pending.query.name)

    async def _forward(
        self, pending: "Pending", transport: asyncio.DatagramTransport, peer: tuple[str, int]
    ) -> None:
        response = await self.resolve(pending, tcp=False)
        if len(response) > pending.limit:
            response = wire.answer(pending.query, (), authoritative=False, limit=0)
        if not transport.is_closing():
            transport.sendto(response, peer)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(IDLE_TIMEOUT):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    message = await reader.readexactly(size)
                response = self.respond(message, 65535)
                if isinstance(response, Pending):
                    response = await self.resolve(response, tcp=True)
                writer.write(len(response).to_bytes(2, "big") + response)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, OSError, wire.Malformed):
            pass  # the client is done, gone, or does not speak DNS
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class Pending:
    """A question for upstream: the client's query, the message to send, and the alias that led to it."""

    query: wire.Query
    message: bytes
    limit: int
    alias: Answer | None = None


class _Udp(asyncio.DatagramProtocol):
    """One UDP socket of the server."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        try:
            response = self._server.respond(data, wire.EDNS_UDP)
        except wire.Malformed:
            return  # answering what is not a query would make the server a reflector
        if isinstance(response, Pending):
            self._server.spawn(response, self._transport, peer)
        else:
            self._transport.sendto(response, peer)
