"""Attacks by way of the API server: on backends, and on what only this machine may reach."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from api_cluster import Client, Cluster
from machine_address import machine_address
from rights import grant, rule

from minikube_py.apiserver.streams import passed_on
from minikube_py.kinds.core.node import Node
from minikube_py.registry.base import Context

NODE = "/api/v1/nodes/n"
POD = "/api/v1/namespaces/default/pods/p"
MERGE = "application/merge-patch+json"
REFUSALS = {
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "302": b"HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP": b"hello\r\n\r\n",
}
UPGRADED = (f"{POD}/exec?command=x&stdout=1", f"{POD}/attach?stdout=1", f"{NODE}/proxy/x")
RUNNING = ("exec/default/p/c?command=id", "%65xec/default/p/c", "/exec/x", "run/x", "stats")


@dataclass
class Kubelet:
    """Answers every request by `answer` and notes all that it is sent, to the end of the connection."""

    answer: bytes = REFUSALS["403"]
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    after: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        self.after += await reader.read()
        writer.close()
        self.ended.set()


@pytest.fixture
async def kubelet(cluster: Cluster, admin: Client) -> AsyncIterator[Kubelet]:
    """The kubelet of node n, on which pod p runs."""
    made, host = Kubelet(), machine_address()
    pair = cluster.authority.issue("kubelet", addresses=(host,))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    server = await asyncio.start_server(made.serve, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    await cluster.registry.create(Node, "", {"metadata": {"name": "n"}}, Context())
    await told(admin, host, made.port)
    pod = {
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
    }
    assert (await admin.post("/api/v1/namespaces/default/pods", pod)).code == 201
    yield made
    server.close()
    await server.wait_closed()


async def told(admin: Client, address: str, port: int) -> None:
    """Say where the kubelet is."""
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    answer = await admin.call("PATCH", f"{NODE}/status", {"status": status}, type=MERGE)
    assert answer.code == 200


async def upgrading(cluster: Cluster, client: Client, method: str, path: str, more: str = "") -> bytes:
    """Everything that an upgrade request is answered whose client keeps on talking."""
    host, port = cluster.server.addresses[0]
    reader, writer = await asyncio.open_connection(host, port, ssl=client.tls)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{more}"
    writer.write(head.encode() + b"\r\n" + b"GET /run/secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    writer.write_eof() if writer.can_write_eof() else None
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize(
    "path", [f"{POD}/exec?command=x&stdout=1", f"{POD}/attach?stdout=1", f"{NODE}/proxy/x"]
)
async def test_no_byte_after_a_refused_upgrade(
    cluster: Cluster, admin: Client, kubelet: Kubelet, name: str, path: str
) -> None:
    """A backend that does not switch protocols hears nothing more of the client (CVE-2018-1002105)."""
    kubelet.answer = REFUSALS[name]
    said = await upgrading(cluster, admin, "POST", path)
    async with asyncio.timeout(5):
        await kubelet.ended.wait()
    assert (len(kubelet.heads), kubelet.after, b"169.254" in said) == (1, b"", False)
    assert not said.startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize(
    "path", ["exec/default/p/c?command=id", "%65xec/default/p/c", "/exec/x", "run/x", "stats"]
)
async def test_reading_is_not_running(cluster: Cluster, admin: Client, kubelet: Kubelet, path: str) -> None:
    """A WebSocket through nodes/proxy needs more than the right to read (it is how things are run)."""
    await grant(admin, "bob", rule("get list watch", "nodes nodes/proxy pods pods/exec pods/attach"))
    bob = cluster.client("bob")
    refused = await upgrading(cluster, bob, "GET", f"{NODE}/proxy/{path}")
    plain = await bob.get(f"{NODE}/proxy/metrics")
    assert (refused[:12], plain.code, len(kubelet.heads)) == (b"HTTP/1.1 403", 403, 1)
    assert kubelet.heads[0].startswith(b"GET /metrics ")


FORBIDDEN = (
    "127.0.0.1",
    "127.1.2.3",
    "169.254.169.254",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "fe80::1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "localhost",
    "rebind.example.com",
)


async def test_nodes_that_claim_addresses(cluster: Cluster, admin: Client, kubelet: Kubelet) -> None:
    """A node that says it lives at loopback, or under a name, is not proxied to (CVE-2022-3294)."""
    found = []
    for address in FORBIDDEN:
        await told(admin, address, cluster.server.addresses[0][1])
        for path in (f"{NODE}/proxy/api", f"/api/v1/nodes/n:{kubelet.port}/proxy/api"):
            answer = await admin.get(path)
            found.append((address, answer.code, answer["message"]))
    assert found == [(address, 400, "address not allowed") for address in FORBIDDEN for _ in "ab"]


CLAIMS = [
    ("Authorization", "x"),
    ("X-Remote-User", "eve"),
    ("x-remote-group", "system:masters"),
    ("X-REMOTE-UID", "x"),
    ("X-Remote-Extra-Scopes", "x"),
    ("Impersonate-User", "x"),
    ("Transfer-Encoding", "chunked"),
    ("Proxy-Authorization", "x"),
]


async def test_backends_hear_of_nobody_else(cluster: Cluster, admin: Client, kubelet: Kubelet) -> None:
    """Neither credentials nor headers that say who asks are passed on, by upgrades either."""
    more = "".join(f"{name}: {value}\r\n" for name, value in CLAIMS[1:5])
    await upgrading(cluster, admin, "POST", f"{NODE}/proxy/x", more)
    assert passed_on([*CLAIMS, ("X-Own", "1")]) == [("X-Own", "1")]
    assert (b"remote" in kubelet.heads[0].lower(), b"eve" in kubelet.heads[0]) == (False, False)


NAMES: list[tuple[str, Any]] = [
    ("nodes/n:0/proxy/", 400),
    ("nodes/n:99999/proxy/", 400),
    ("nodes/n:x/proxy/", 400),
    ("nodes/ftp:n:80/proxy/", 400),
    ("nodes/n%0d%0aX:80/proxy/", 400),
    ("nodes/n@evil:80/proxy/", 404),
    ("namespaces/default/services/http:kubernetes:https/proxy/", 503),
    ("namespaces/default/pods/p:22%23/proxy/", 400),
    ("namespaces/default/pods/p:+80/proxy/", 400),
]


async def test_names_of_targets(admin: Client, kubelet: Kubelet) -> None:
    """A target is a known object and a port, whatever else is written into its name."""
    assert [(path, (await admin.get(f"/api/v1/{path}")).code) for path, _ in NAMES] == NAMES
