"""Remembered responses never outlive what they were made from."""

import asyncio
from collections.abc import AsyncIterator

import dnslib
import pytest

from minikube_py.aio.tasks import Tasks
from minikube_py.client.local import LocalClient
from minikube_py.dns.server import DnsConfig, DnsServer
from minikube_py.dns.wire import EDNS_UDP
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Key, Obj
from minikube_py.testing.inprocess import local_cluster


@pytest.fixture
async def served() -> AsyncIterator[tuple[DnsServer, LocalClient]]:
    """A server that runs, on no address, and a client of its cluster."""
    clients = await local_cluster()
    server, ready = DnsServer(clients.named("dns"), DnsConfig(())), asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(server.run(ready), "dns")
        await ready.wait()
        yield server, clients.named("test")


def told(server: DnsServer, id: int = 7) -> tuple[int, str, list[str]]:
    """The id, code and addresses of the response for the Service `web`."""
    question = dnslib.DNSRecord.question("web.default.svc.cluster.local")
    question.header.id = id
    response = server.respond(bytes(question.pack()), EDNS_UDP)
    assert isinstance(response, bytes)
    parsed = dnslib.DNSRecord.parse(response)
    return parsed.header.id, dnslib.RCODE[parsed.header.rcode], [str(record.rdata) for record in parsed.rr]


def web(address: str) -> Obj:
    spec = {"ports": [{"port": 80}], "clusterIP": address}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


async def test_a_response_follows_the_service_it_tells_of(served: tuple[DnsServer, LocalClient]) -> None:
    """A new Service is told of at once, and a deleted one no more, however often it was asked for before."""
    server, client = served
    said = [told(server), told(server)]
    await client.create(Service, web("10.96.0.7"))
    said += [told(server), told(server)]
    await client.delete(Service, Key("default", "web"))
    said.append(told(server))
    no, yes = (7, "NXDOMAIN", []), (7, "NOERROR", ["10.96.0.7"])
    assert said == [no, no, yes, yes, no]


async def test_a_remembered_response_bears_the_id_of_its_query(served: tuple[DnsServer, LocalClient]) -> None:
    """Two queries that differ in their id alone get responses that do so too."""
    server, client = served
    await client.create(Service, web("10.96.0.8"))
    assert [told(server, id)[0] for id in (1, 65535)] == [1, 65535]
