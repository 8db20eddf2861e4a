"""The DNS server on loopback, over a cluster in process, with a second server as its upstream."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import dnslib
import pytest

from minikube_py.aio.tasks import Tasks
from minikube_py.client.local import LocalClients
from minikube_py.dns.server import DnsConfig, DnsServer
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.testing.inprocess import local_cluster


def free_port() -> int:
    """A port that is free for UDP and TCP, below those that outgoing connections are given meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for type in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, type) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port


async def serve(tasks: Tasks, clients: LocalClients, config: DnsConfig) -> None:
    ready = asyncio.Event()
    tasks.spawn(DnsServer(clients.named("dns"), config).run(ready), f"dns-{config.port}")
    await ready.wait()


async def ask(port: int, name: str, type: str = "A", *, tcp: bool = False) -> dnslib.DNSRecord:
    question = dnslib.DNSRecord.question(name, type)
    return dnslib.DNSRecord.parse(await asyncio.to_thread(question.send, "127.0.0.1", port, tcp, 5))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server for cluster.local, whose upstream answers for corp.example."""
    clients = await local_cluster()
    client = clients.named("test")
    spec = {"ports": [{"port": 80}], "clusterIP": "10.96.7.7"}
    await client.create(Service, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    names = [("db", "None"), ("alias", "")]
    headless = {"ports": [{"port": 80}], "clusterIP": "None"}
    outside = {"type": "ExternalName", "externalName": "www.default.svc.example"}
    for (name, _), body in zip(names, (headless, outside), strict=True):
        await client.create(Service, {"metadata": {"name": name, "namespace": "default"}, "spec": body})
    slice = {
        "metadata": {"name": "db-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4",
        "ports": [{"port": 80}],
        "endpoints": [{"addresses": [f"10.244.1.{n}"], "conditions": {"ready": True}} for n in range(1, 81)],
    }
    await client.create(EndpointSlice, slice)
    corp = await local_cluster()
    www = {"metadata": {"name": "www", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
    await corp.named("test").create(Service, {**www, "spec": {**www["spec"], "clusterIP": "10.96.9.9"}})
    upstream, here = free_port(), free_port()
    async with Tasks("test") as tasks:
        await serve(tasks, corp, DnsConfig(["127.0.0.1"], upstream, domain="example"))
        await serve(tasks, clients, DnsConfig(["127.0.0.1"], here, upstreams=[f"127.0.0.1:{upstream}"]))
        yield here


async def test_services_are_answered_by_udp_and_tcp(port: int) -> None:
    """A Service's address comes by either transport."""
    for tcp in (False, True):
        response = await ask(port, "web.default.svc.cluster.local", tcp=tcp)
        assert [str(rr.rdata) for rr in response.rr] == ["10.96.7.7"]


async def test_large_answers_come_whole_by_tcp(port: int) -> None:
    """Eighty endpoints do not fit into a datagram: it is truncated, and TCP has them all."""
    short = await ask(port, "db.default.svc.cluster.local")
    whole = await ask(port, "db.default.svc.cluster.local", tcp=True)
    assert (short.header.tc, len(short.rr), len(whole.rr)) == (1, 0, 80)


async def test_other_names_are_asked_upstream(port: int) -> None:
    """What is not the cluster's is what the upstream says, its NXDOMAIN too."""
    found = await ask(port, "www.default.svc.example")
    missing = await ask(port, "nothing.default.svc.example")
    assert ([str(rr.rdata) for rr in found.rr], missing.header.rcode) == (["10.96.9.9"], dnslib.RCODE.NXDOMAIN)


async def test_external_names_are_followed_upstream(port: int) -> None:
    """An ExternalName gives its alias and the address that the upstream has for it."""
    response = await ask(port, "alias.default.svc.cluster.local")
    assert [str(rr.rdata) for rr in response.rr] == ["www.default.svc.example.", "10.96.9.9"]


async def test_case_of_the_question_is_echoed(port: int) -> None:
    """Clients that vary the case of letters get their own spelling back."""
    response = await ask(port, "WeB.Default.SVC.cluster.LOCAL")
    assert str(response.q.qname) == "WeB.Default.SVC.cluster.LOCAL."
    assert [str(rr.rdata) for rr in response.rr] == ["10.96.7.7"]


async def test_garbage_is_ignored(port: int) -> None:
    """A datagram that is no query gets no answer, and the server goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"\xff" * 40, ("127.0.0.1", port))
    response = await ask(port, "web.default.svc.cluster.local")
    assert len(response.rr) == 1


async def test_silent_upstream_gives_servfail() -> None:
    """Where nobody answers for a name, the client is told so."""
    clients = await local_cluster()
    here = free_port()
    async with Tasks("test") as tasks:
        await serve(tasks, clients, DnsConfig(["127.0.0.1"], here, upstreams=[f"127.0.0.1:{free_port()}"]))
        response = await ask(here, "nowhere.example")
    assert response.header.rcode == dnslib.RCODE.SERVFAIL
