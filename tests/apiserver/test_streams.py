"""Logs, exec and proxies against a backend that stands for the kubelet."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from api_cluster import Client, Cluster, start, stop
from machine_address import machine_address

from minikube_py.apiserver.resolver import endpoint_places, proxyable
from minikube_py.apiserver.targets import container_of, split_name
from minikube_py.errors import BadRequest
from minikube_py.kinds.core.node import Node
from minikube_py.registry.base import Context

POD = "/api/v1/namespaces/default/pods/p"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}


@dataclass
class Backend:
    """A kubelet of raw bytes: answers by path, and notes what it was sent."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    certificates: list[Any] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            self.certificates.append(writer.get_extra_info("peercert"))
            await self.answer(head.split(b" ")[1], reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def answer(self, path: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if path.startswith(b"/exec/default/p/refuse"):
            writer.write(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nContent-Type: text/plain\r\n\r\nno such"
            )
        elif path.startswith(b"/exec/default/p/redirect"):
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
            )
        elif path.startswith((b"/exec/", b"/attach/", b"/portForward/")):
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello "
            )
            while data := await reader.read(65536):
                writer.write(data.upper())
                await writer.drain()
        elif path.startswith(b"/containerLogs/default/p/waiting"):
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 13\r\n\r\nnot yet ready")
        elif path.startswith(b"/containerLogs/"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nline\n\r\n0\r\n\r\n")
        else:
            body = b"at " + path
            writer.write(
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            writer.write(body)
        await writer.drain()


@asynccontextmanager
async def kubelet(cluster: Cluster) -> AsyncIterator[Backend]:
    """The kubelet of node n, on which the pod p (containers main, refuse, redirect, waiting) runs."""
    made, host = Backend(), machine_address()
    pair = cluster.authority.issue("kubelet", addresses=(host,))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    tls.load_verify_locations(cluster.authority.path)
    tls.verify_mode = ssl.CERT_OPTIONAL
    server = await asyncio.start_server(made.serve, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    admin = cluster.client("setup", "system:masters")
    await cluster.registry.create(Node, "", {"metadata": {"name": "n"}}, Context())
    status = {
        "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": host}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": made.port}},
    }
    await admin.call("PATCH", "/api/v1/nodes/n/status", {"status": status}, type="application/merge-patch+json")
    containers = [{"name": name, "image": "i"} for name in ("main", "refuse", "redirect", "waiting")]
    body = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": containers}}
    await admin.post("/api/v1/namespaces/default/pods", body)
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
async def backend(cluster: Cluster) -> AsyncIterator[Backend]:
    """See `kubelet`."""
    async with kubelet(cluster) as made:
        yield made


async def exec_raw(
    cluster: Cluster, client: Client, path: str, method: str = "POST", asked: Mapping[str, str] = UPGRADE
) -> tuple[bytes, Any, Any]:
    """An upgrade request over a raw connection: the answer's head, and the streams behind it."""
    host, port = cluster.server.addresses[0]
    reader, writer = await asyncio.open_connection(host, port, ssl=client.tls)
    headers = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n{headers}\r\n".encode()
    )
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


def test_exec_on_uvloop(tmp_path: Path) -> None:
    """Taking over the client's connection works on uvloop as well."""
    uvloop = pytest.importorskip("uvloop")

    async def scenario() -> bytes:
        cluster, task = await start(tmp_path)
        async with kubelet(cluster):
            admin = cluster.client("admin", "system:masters")
            path = f"{POD}/exec?container=main&command=sh&stdin=1&stdout=1"
            _, reader, writer = await exec_raw(cluster, admin, path)
            writer.write(b"abc" * 100_000)
            echoed: bytes = await reader.readexactly(6 + 300_000)
            writer.close()
        await stop(cluster, task)
        return echoed

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) == b"hello " + b"ABC" * 100_000


async def test_exec_passes_bytes_both_ways(cluster: Cluster, admin: Client, backend: Backend) -> None:
    """After the backend's 101 bytes pass as they are; the client's credentials do not."""
    path = f"{POD}/exec?container=main&command=sh&command=-c&stdin=true&stdout=true&tty=false"
    head, reader, writer = await exec_raw(cluster, admin, path)
    greeting = await reader.readexactly(6)
    big = b"abc" * 500_000
    writer.write(big)
    echoed = await reader.readexactly(len(big))
    writer.close()
    sent = backend.heads[0]
    assert (head.split(b"\r\n")[0], greeting, echoed == big.upper()) == (
        b"HTTP/1.1 101 Switching Protocols",
        b"hello ",
        True,
    )
    assert sent.split(b" ")[1] == b"/exec/default/p/main?input=1&output=1&command=sh&command=-c"
    assert (b"secret" in sent, b"SPDY/3.1" in sent) == (False, True)
    subject = dict(pair[0] for pair in backend.certificates[0]["subject"])
    assert subject["commonName"] == "kube-apiserver-kubelet-client"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("container=refuse&command=x&stdout=1", b"404", b"no such"),
        ("container=redirect&command=x&stdout=1", b"500", b"redirect (302), which is not followed"),
        ("container=nope&command=x&stdout=1", b"400", b"container nope is not valid for pod p"),
        ("command=x&stdout=1", b"400", b"a container name must be specified for pod p, choose one of"),
        ("container=main&stdout=1", b"400", b"at least one command"),
        ("container=main&command=x", b"400", b"at least one of stdin, stdout, stderr"),
    ],
)
async def test_exec_refused(
    cluster: Cluster, admin: Client, backend: Backend, options: str, code: bytes, words: bytes
) -> None:
    """Any answer but 101, and any wrong option, is an ordinary response."""
    head, reader, writer = await exec_raw(cluster, admin, f"{POD}/exec?{options}")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    assert (head.split(b" ")[1], words in body) == (code, True)


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "c2l4dGVlbiBvY3RldHMhIQ==",
    "Sec-WebSocket-Protocol": "v4.channel.k8s.io, v5.channel.k8s.io",
}


async def told(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """The channel of a WebSocket message, and the Status on it."""
    _, length = await reader.readexactly(2)
    size = int.from_bytes(await reader.readexactly(2)) if length == 126 else length
    message = await reader.readexactly(size)
    return message[0], orjson.loads(message[1:])


async def test_refusals_on_the_stream(cluster: Cluster, admin: Client, backend: Backend) -> None:
    """A WebSocket client of version 5 is let in, and told by a Status what the kubelet refuses; one of an older
    version gets the kubelet's own answer."""
    path = f"{POD}/exec?container=refuse&command=x&stdout=1"
    head, reader, writer = await exec_raw(cluster, admin, path, "GET", WEBSOCKET)
    channel, status = await told(reader)
    writer.close()
    old = WEBSOCKET | {"Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
    refused, _, writer = await exec_raw(cluster, admin, path, "GET", old)
    writer.close()
    why = "unable to upgrade connection: no such"
    assert (head.split(b" ")[1], b"v5.channel.k8s.io" in head, channel) == (b"101", True, 3)
    assert (status["message"], status["code"]) == (f"Internal error occurred: {why}", 500)
    assert status["details"] == {"causes": [{"message": why}]}
    assert refused.split(b" ")[1] == b"404"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ports=80", "80"),
        ("ports=80,443", "80,443"),
        ("ports=80&ports=443", "80,443"),
        ("ports=x", 'cannot convert to []int32: strconv.ParseUint: parsing "x": invalid syntax'),
        ("ports=70000", 'cannot convert to []int32: strconv.ParseUint: parsing "70000": value out of range'),
    ],
)
async def test_ports_of_a_forward(
    cluster: Cluster, admin: Client, backend: Backend, query: str, expected: str
) -> None:
    """The kubelet hears of all ports together; what is no port is refused."""
    head, reader, writer = await exec_raw(cluster, admin, f"{POD}/portforward?{query}")
    if b" 101 " in head:
        found = parse_qs(urlsplit(backend.heads[0].split(b" ")[1].decode()).query)["port"][0]
    else:
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        found = orjson.loads(await reader.readexactly(length))["message"]
    writer.close()
    assert found == expected


@pytest.mark.parametrize(
    ("query", "code", "expected"),
    [
        ("follow", 200, "follow=true"),
        ("timestamps=yes&previous=0&follow=False", 200, "timestamps=true"),
        ("sinceTime=2026-01-02T03:04:05.678Z", 200, "sinceTime=2026-01-02T03%3A04%3A05.678Z"),
        ("stream=Stdout", 422, 'PodLogOptions "p" is invalid: stream: Forbidden: may not be specified'),
        (
            "sinceTime=now",
            400,
            'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"',
        ),
    ],
)
async def test_options_of_a_log(admin: Client, backend: Backend, query: str, code: int, expected: str) -> None:
    """A flag is on unless it is false; the choice of a stream is off in v1.34; times are read at once."""
    answer = await admin.get(f"{POD}/log?container=main&{query}")
    asked = backend.heads[0].split(b" ")[1].decode().partition("?")[2] if backend.heads else ""
    assert (answer.code, asked if code == 200 else answer["message"]) == (code, expected)


async def test_exec_needs_create_even_by_get(cluster: Cluster, backend: Backend) -> None:
    """A WebSocket's GET is no way around the right to create pods/exec."""
    body = {
        "metadata": {"name": "reader"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["*"]}],
    }
    admin = cluster.client("setup2", "system:masters")
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await admin.post(f"{rbac}/clusterroles", body)
    bound = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}],
    }
    await admin.post(f"{rbac}/clusterrolebindings", bound)
    bob = cluster.client("bob")
    path = f"{POD}/exec?container=main&command=sh&stdout=1"
    head, _, writer = await exec_raw(cluster, bob, path, "GET")
    writer.close()
    logs = await bob.get(f"{POD}/log?container=main")
    assert (head.split(b" ")[1], logs.code, len(backend.heads)) == (b"403", 200, 1)


async def test_log_and_its_refusal(admin: Client, backend: Backend) -> None:
    """A log is streamed as text; the kubelet's refusal becomes a Status."""
    log = await admin.get(f"{POD}/log?container=main&tailLines=5&pretty=1")
    waiting = await admin.get(f"{POD}/log?container=waiting")
    assert (log.code, log.body, log.headers["Content-Type"]) == (200, "line\n", "text/plain")
    assert backend.heads[0].split(b" ")[1] == b"/containerLogs/default/p/main?tailLines=5"
    assert (waiting.code, waiting["message"]) == (400, "not yet ready")


async def test_node_proxy_passes_redirects_on(admin: Client, backend: Backend) -> None:
    """The proxy subresource streams whatever comes; a redirect leads back through it, and is not followed."""
    async with admin.request("GET", "/api/v1/nodes/n/proxy/stats/x?a=%2F", allow_redirects=False) as response:
        found = (response.status, response.headers["Location"], await response.read())
    assert found == (307, "/api/v1/nodes/n/proxy/x", b"at /stats/x?a=%2F")


async def test_unreachable_kubelet(cluster: Cluster, admin: Client, backend: Backend) -> None:
    """A kubelet that does not answer is an error with its reason, not a hang."""
    patch = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
    await admin.call("PATCH", "/api/v1/nodes/n/status", patch, type="application/merge-patch+json")
    log = await admin.get(f"{POD}/log?container=main")
    head, reader, writer = await exec_raw(cluster, admin, f"{POD}/exec?container=main&command=x&stdout=1")
    host = machine_address()
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    refused = orjson.loads(await reader.readexactly(length))
    writer.close()
    assert refused["message"] == f"error dialing backend: dial tcp {host}:1: connect: connection refused"
    url = f"https://{host}:1/containerLogs/default/p/main"
    assert (log.code, log["message"], head.split(b" ")[1]) == (
        500,
        f'Get "{url}": dial tcp {host}:1: connect: connection refused',
        b"500",
    )


async def test_pod_without_node(admin: Client) -> None:
    """A pod that is not scheduled has no log yet."""
    body = {"metadata": {"name": "q"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await admin.post("/api/v1/namespaces/default/pods", body)
    answer = await admin.get("/api/v1/namespaces/default/pods/q/log")
    assert (answer.code, answer.body) == (204, "")


def test_targets() -> None:
    """Names, containers, endpoints and addresses of proxies."""
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]},
    }
    assert (container_of(pod, ""), container_of(pod, "b")) == ("a", "b")
    assert [split_name(text) for text in ("a", "a:80", "https:a:80", "http:a:")] == [
        ("", "a", ""),
        ("", "a", "80"),
        ("https", "a", "80"),
        ("http", "a", ""),
    ]
    endpoints = [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
    ]
    slices = [{"ports": [{"name": "http", "port": 80}, {"name": "x", "port": 1}], "endpoints": endpoints}]
    assert endpoint_places(slices, "http") == [("10.0.0.1", 80, None)]
    for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "name"):
        with pytest.raises(BadRequest, match="address not allowed"):
            proxyable(address)
