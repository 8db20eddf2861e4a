"""kube-proxy in the kernel: real nftables in a network namespace of the test's own, real connections."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

import pytest

from minikube_py.aio import process
from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.local import LocalClient
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.meta.objects import Key, Obj
from minikube_py.proxy.proxier import KubeProxy
from minikube_py.proxy.rules import ProxyConfig
from minikube_py.testing.inprocess import local_cluster

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nft")

HIGH, LOW = os.getpid() >> 8 & 255, os.getpid() & 255
"""What tells this test run from another one on the machine."""

TABLE = f"minikube-py-test-{os.getpid()}"
VIP = f"10.97.{HIGH}.{LOW}"
LINK, HERE = f"mkpyp{os.getpid()}", f"10.199.{HIGH}.{LOW}"
"""An interface of the test's own, and its address: backends may not be on loopback."""

NODE_PORT = 30000 + os.getpid() % 2767


@dataclass
class Kernel:
    """A running kube-proxy, a client to feed it, and backends that say who they are."""

    client: LocalClient
    proxy: KubeProxy
    ports: list[int]

    async def service(self, **spec: object) -> None:
        body = {"clusterIP": VIP, "ports": [{"port": 80, "protocol": "TCP"}]} | spec
        await self.client.create(Service, {"metadata": {"name": "web", "namespace": "default"}, "spec": body})

    async def endpoints(self, ports: list[int]) -> None:
        for number, port in enumerate(self.ports):
            key = Key("default", f"web-{number}")
            known = self.client.cache.get(EndpointSlice, key) is not None
            if port in ports and not known:
                await self.client.create(EndpointSlice, slice_at(key.name, port))
            elif port not in ports and known:
                await self.client.delete(EndpointSlice, key)

    async def settled(self, element: str, *, there: bool = True) -> None:
        """Return once the kernel's table holds (or no longer holds) an element."""
        async with asyncio.timeout(10):
            while True:
                seen = self.proxy.syncs
                listed = await process.run(["nft", "list", "table", "ip", TABLE], check=False)
                if (element in listed.stdout) is there:
                    return
                async with self.proxy.synced:
                    if self.proxy.syncs == seen:
                        await self.proxy.synced.wait()

    async def synced(self, change: Awaitable[object]) -> None:
        """Make a change, and return once the kernel has been told of it."""
        before = self.proxy.syncs
        async with asyncio.timeout(10), self.proxy.synced:
            await change
            await self.proxy.synced.wait_for(lambda: self.proxy.syncs > before)

    async def ask(self, address: str = VIP, port: int = 80) -> int:
        """The port of the backend that answered. Errors: ConnectionError, TimeoutError."""
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection(address, port)
            answer = await reader.read()
            writer.close()
        return int(answer)


class Echo(asyncio.DatagramProtocol):
    """A server that tells its port."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(str(self._transport.get_extra_info("sockname")[1]).encode(), addr)


class Replies(asyncio.DatagramProtocol):
    """A client that keeps what it is told."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)


def slice_at(name: str, port: int) -> Obj:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [HERE], "conditions": {"ready": True}}],
    }


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    client = (await local_cluster()).named("test")
    proxy = KubeProxy(client, SystemClock(), ProxyConfig("here", table=TABLE, bridge="none0"))
    link = f"link add {LINK} type bridge\naddress add {HERE}/32 dev {LINK}\nlink set {LINK} up\n"
    link += f"route replace {VIP}/32 dev {LINK}\n"  # a machine may have no default route
    await process.run(["ip", "-force", "-batch", "-"], input=link, check=False)
    servers = []
    for _ in range(3):

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(str(writer.get_extra_info("sockname")[1]).encode())
            writer.close()

        servers.append(await asyncio.start_server(answer, HERE, 0))
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    ready = asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(proxy.run(ready), "proxy")
        await ready.wait()
        try:
            yield Kernel(client, proxy, ports)
        finally:
            await tasks.cancel()
            await proxy.remove()
            await process.run(["ip", "link", "delete", LINK])
            for server in servers:
                server.close()


async def test_cluster_ip_spreads_over_ready_endpoints(kernel: Kernel) -> None:
    """Connections to the virtual address reach every endpoint; one that goes gets no more."""
    await kernel.service()
    await kernel.endpoints(kernel.ports)
    await kernel.settled(": goto pick-3")
    seen = Counter([await kernel.ask() for _ in range(60)])
    assert set(kernel.ports) == set(seen)
    await kernel.endpoints(kernel.ports[:1])
    await kernel.settled(": goto pick-1")
    assert {kernel.ports[0]} == {await kernel.ask() for _ in range(10)}


async def test_no_endpoints_are_refused_at_once(kernel: Kernel) -> None:
    """Without endpoints, and on ports that no Service has, a client is refused instead of left waiting."""
    await kernel.service()
    await kernel.settled(": goto refuse")
    for port in (80, 81):
        with pytest.raises(ConnectionRefusedError):
            await kernel.ask(port=port)


async def test_node_ports_answer_on_local_addresses(kernel: Kernel) -> None:
    """A node port leads to the endpoints from any address of the machine, loopback too."""
    await kernel.service(type="NodePort", ports=[{"port": 80, "nodePort": NODE_PORT}])
    await kernel.endpoints(kernel.ports)
    await kernel.settled(": goto node-pick-3")
    assert {await kernel.ask(address, NODE_PORT) in kernel.ports for address in (HERE, "127.0.0.1")} == {True}


async def test_session_affinity_sticks_until_the_endpoint_goes(kernel: Kernel) -> None:
    """A client stays with its endpoint while others come and go, and moves on when it is gone."""
    await kernel.service(sessionAffinity="ClientIP")
    await kernel.endpoints(kernel.ports)
    await kernel.settled(": goto affine-3")
    mine = await kernel.ask()
    assert {mine} == {await kernel.ask() for _ in range(20)}
    other = next(port for port in kernel.ports if port != mine)
    await kernel.endpoints([mine, other])
    await kernel.settled(": goto affine-2")
    assert {mine} == {await kernel.ask() for _ in range(20)}
    await kernel.endpoints([other])
    await kernel.settled(": goto affine-1")
    await kernel.settled(f": {HERE} . {mine}", there=False)
    assert {other} == {await kernel.ask() for _ in range(5)}


async def test_udp_clients_follow_the_endpoints(kernel: Kernel) -> None:
    """A client that keeps its port reaches the first endpoint once there is one, and the next one after it."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_datagram_endpoint(Echo, (HERE, 0)) for _ in range(2)]
    client, replies = await loop.create_datagram_endpoint(Replies, (HERE, 0))
    ports = [{"port": 80, "protocol": "UDP"}]
    await kernel.synced(kernel.service(ports=ports))
    client.sendto(b"lost", (VIP, 81))
    answered = []
    for number, (server, _) in enumerate(servers):
        one = slice_at(f"web-{number}", server.get_extra_info("sockname")[1])
        one["ports"][0]["protocol"] = "UDP"
        await kernel.synced(kernel.client.create(EndpointSlice, one))
        if number:
            await kernel.synced(kernel.client.delete(EndpointSlice, Key("default", "web-0")))
        client.sendto(b"who", (VIP, 80))
        async with asyncio.timeout(3):
            answered.append(int(await replies.received.get()))
    assert answered == [server.get_extra_info("sockname")[1] for server, _ in servers]
    for transport in (client, *(server for server, _ in servers)):
        transport.close()


async def test_a_flushed_table_is_made_again(kernel: Kernel) -> None:
    """If somebody deletes the table, the next change brings all of it back."""
    await kernel.service()
    await kernel.settled(": goto refuse")
    await process.run(["nft", "delete", "table", "ip", TABLE])
    await kernel.endpoints(kernel.ports)
    await kernel.settled(": goto pick-3")
    assert await kernel.ask() in kernel.ports


async def test_removal_leaves_no_table(kernel: Kernel) -> None:
    """Stopping the cluster takes the table out of the kernel."""
    await kernel.proxy.remove()
    listed = await process.run(["nft", "list", "tables"])
    assert TABLE not in listed.stdout


@pytest.mark.parametrize(
    "command",
    [
        f"delete table ip {TABLE}",
        f"flush table ip {TABLE}",
        f"flush chain ip {TABLE} forwarding",
        f"flush map ip {TABLE} services",
        f"delete element ip {TABLE} endpoints {{ {VIP} . tcp . 80 . 0 }}",
    ],
    ids=["table", "rules", "chain", "map", "element"],
)
async def test_what_others_delete_is_put_back(kernel: Kernel, command: str) -> None:
    """A firewall tool that takes the table or a part of it away does not end a Service's traffic."""
    await kernel.service()
    await kernel.endpoints(kernel.ports[:1])
    await kernel.settled(f"{VIP} . tcp . 80 . 0")
    await kernel.synced(process.run(["nft", command]))
    assert await kernel.ask() == kernel.ports[0]
    await kernel.synced(kernel.client.delete(Service, Key("default", "web")))
    assert kernel.proxy.losses == 1  # the news of our own changes counts for none


async def test_a_load_balancer_hears_where_pods_are(kernel: Kernel) -> None:
    """The healthCheckNodePort of a local Service answers 200 with this node's endpoints, 503 without any."""
    port = NODE_PORT + 1
    ports = [{"port": 80, "nodePort": NODE_PORT}]
    local_only = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port}
    await kernel.synced(kernel.service(**local_only, ports=ports))
    assert (await checked(port)).startswith(b"HTTP/1.1 503 ")
    local = slice_at("web-0", kernel.ports[0])
    local["endpoints"][0]["nodeName"] = "here"
    await kernel.synced(kernel.client.create(EndpointSlice, local))
    told = await checked(port)
    assert told.startswith(b"HTTP/1.1 200 OK")
    assert b'"localEndpoints": 1' in told
    await kernel.synced(kernel.client.delete(Service, Key("default", "web")))
    with pytest.raises(ConnectionRefusedError):
        await checked(port)


async def checked(port: int) -> bytes:
    """What a health check port of this machine answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer
