"""Probes in virtual time, against a server of the test and commands of the simulated runtime."""

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from socket import SO_LINGER, SOL_SOCKET

import pytest
from kubelet_node import Node, pod_object, settle

from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.prober.exchange import BROKEN, BodyLost, HttpAnswer, read_answer
from minikube_py.kubelet.prober.handlers import (
    Answer,
    HttpRequest,
    http_get,
    http_request,
    question,
    tcp_connect,
)
from minikube_py.meta.objects import Obj


@dataclass
class Server:
    """An HTTP server that answers by path, and counts."""

    port: int = 0
    status: str = "200 OK"
    paths: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            server.paths.append(path)
            status, more = server.status, ""
            if path == "/away":
                status, more = "302 Found", "Location: http://elsewhere.invalid/\r\n"
            if path in ("/near", "/round"):
                status, more = "302 Found", f"Location: {'/here' if path == '/near' else path}\r\n"
            if path == "/reset" and (socket := writer.get_extra_info("socket")):
                socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            if path in ("/reset", "/silent"):
                writer.close()
                return
            if path == "/nowhere":
                status, more = "302 Found", "Location: http://[::1\r\n"
            length = 9 if path in ("/short", "/slow") else 0
            writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n".encode())
            if path == "/slow":
                await reader.read()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server


CHUNKED = b"HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n"
RESET = 'Get "http://HERE/reset": read tcp FROM->HERE: read: connection reset by peer'


UNREADABLE = 'failed to parse Location header "http://[::1": parse "http://[::1": missing \']\' in host'


def get(port: int, path: str = "/") -> HttpRequest:
    return HttpRequest("http", "127.0.0.1", port, path)


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/", "200 OK", Answer(True)),
        ("/", "399 X", Answer(True, "Probe terminated redirects, Response body: ", doubtful=True)),
        ("/", "500 Oops", Answer(False, "HTTP probe failed with statuscode: 500")),
        ("/near", "200 OK", Answer(True)),
        ("/near", "503 Later", Answer(False, "HTTP probe failed with statuscode: 503")),
        ("/away", "200 OK", Answer(True, "Probe terminated redirects, Response body: ", doubtful=True)),
        ("/round", "200 OK", Answer(False, 'Get "/round": stopped after 10 redirects')),
        ("/reset", "200 OK", Answer(False, RESET)),
        ("/silent", "200 OK", Answer(False, 'Get "http://HERE/silent": EOF')),
        ("/nowhere", "200 OK", Answer(False, f'Get "http://HERE/nowhere": {UNREADABLE}')),
        ("/short", "200 OK", Answer(False, "unexpected EOF", known=False, broken=True)),
    ],
)
async def test_http_answers(path: str, status: str, expected: Answer) -> None:
    """200 to 399 succeed; redirects are followed on the same host only."""
    async with serving() as server:
        server.status = status
        found = await http_get(get(server.port, path))
        here = f"127.0.0.1:{server.port}"
        assert replace(found, message=re.sub(r"127\.0\.0\.1:\d+->", "FROM->", found.message)) == replace(
            expected, message=expected.message.replace("HERE", here)
        )


async def test_refused_connections(unused_tcp_port: int) -> None:
    """Nobody listening is told in Kubernetes' words."""
    where = f"127.0.0.1:{unused_tcp_port}"
    assert await tcp_connect("127.0.0.1", unused_tcp_port) == Answer(
        False, f"dial tcp {where}: connect: connection refused"
    )
    assert await http_get(get(unused_tcp_port)) == Answer(
        False, f'Get "http://{where}/": dial tcp {where}: connect: connection refused'
    )


def headers(*pairs: tuple[str, str]) -> list[Obj]:
    return [{"name": name, "value": value} for name, value in pairs]


@pytest.mark.parametrize(
    ("action", "path", "sent"),
    [
        ({}, "/", {"Host": "10.0.0.5:80", "User-Agent": "kube-probe/1.34", "Accept": "*/*"}),
        ({"path": "healthz"}, "/healthz", {"Host": "10.0.0.5:80"}),
        ({"path": "/a b/\u00e9?q=x y&r=%20#part"}, "/a%20b/%C3%A9?q=x%20y&r=%20", {}),
        ({"httpHeaders": headers(("host", "web.example"))}, "/", {"Host": "web.example"}),
        ({"httpHeaders": headers(("user-agent", "mine"))}, "/", {"User-Agent": "mine"}),
        (
            {"httpHeaders": headers(("User-Agent", ""), ("accept", ""))},
            "/",
            {"User-Agent": None, "Accept": None},
        ),
        (
            {"httpHeaders": headers(("X-Two", "a"), ("x-two", "b"), ("X-None", ""))},
            "/",
            {"X-Two": "a,b", "X-None": ""},
        ),
    ],
    ids=str,
)
async def test_what_an_http_probe_sends(action: Obj, path: str, sent: dict[str, str | None]) -> None:
    """Headers of the probe take the place of the usual ones, whatever their case; the path is escaped."""
    request = http_request({"port": 80, **action}, {}, "10.0.0.5")
    first, *lines = question(request).decode().removesuffix("\r\n\r\n").split("\r\n")
    found: dict[str, str] = {}
    for name, value in (line.split(": ", 1) for line in lines):
        found[name] = f"{found[name]},{value}" if name in found else value
    assert (first, found["Connection"]) == (f"GET {path} HTTP/1.1", "close")
    assert {name: found.get(name) for name in sent} == sent


def probed(**probes: Obj) -> Obj:
    return pod_object(containers=[{"name": "main", "image": "app:1", **probes}])


def entry(pod: Obj) -> Obj:
    return pod["status"]["containerStatuses"][0]


async def test_readiness_is_seen_early_and_lost_by_threshold(node: Node) -> None:
    """A container that is not ready at once is asked again long before the period ends; once it is ready it
    takes failureThreshold failures to lose that."""
    async with serving() as server:
        server.status = "503 Starting"
        probe = {"httpGet": {"host": "127.0.0.1", "port": server.port, "path": "/"}, "periodSeconds": 10}
        await node.client.create(Pod, probed(readinessProbe=probe))
        assert entry(await node.running())["ready"] is False
        await settle()
        server.status = "200 OK"
        await node.clock.advance(1.0)
        await settle()
        await node.until(lambda pod: entry(pod)["ready"])
        assert node.events("Unhealthy") == []
        server.status = "503 Busy"
        for _ in range(2):
            await node.clock.advance(10)
            await settle()
        assert entry(await node.pod())["ready"] is True
        await node.clock.advance(10)
        await settle()
        await node.until(lambda pod: not entry(pod)["ready"])
        message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        assert node.events("Unhealthy") == [("Unhealthy", message)]


async def test_startup_probe_holds_the_others_back(node: Node) -> None:
    """Until the startup probe succeeds there is no liveness probe, and the container has not started."""
    startup = {"exec": {"command": ["exit", "1"]}, "periodSeconds": 5, "failureThreshold": 2}
    liveness = {"exec": {"command": ["exit", "1"]}, "periodSeconds": 1, "failureThreshold": 1}
    await node.client.create(Pod, probed(startupProbe=startup, livenessProbe=liveness))
    assert entry(await node.running())["started"] is False
    await node.clock.advance(9)
    assert entry(await node.pod())["restartCount"] == 0
    await node.clock.advance(3)
    await node.until(lambda pod: entry(pod)["restartCount"] == 1)
    messages = [message for _, message in node.events("Killing")]
    assert messages == ["Container main failed startup probe, will be restarted"]


async def test_liveness_respects_its_initial_delay(node: Node) -> None:
    """The first liveness probe comes after its initial delay; enough failures restart the container."""
    probe = {"exec": {"command": ["exit", "1"]}, "initialDelaySeconds": 20, "failureThreshold": 2}
    await node.client.create(Pod, probed(livenessProbe=probe))
    await node.running()
    await settle()
    await node.clock.advance(29)
    assert entry(await node.pod())["restartCount"] == 0
    await node.clock.advance(2)
    await node.until(lambda pod: entry(pod)["restartCount"] == 1)


async def test_slow_command_times_out(node: Node) -> None:
    """A probe's command that takes longer than timeoutSeconds has failed."""
    probe = {"exec": {"command": ["sleep", "60"]}, "timeoutSeconds": 2, "failureThreshold": 1}
    await node.client.create(Pod, probed(livenessProbe=probe))
    await node.running()
    await node.clock.advance(3)
    await node.until(lambda pod: entry(pod)["restartCount"] == 1)
    assert "timed out after 2s" in node.events("Unhealthy")[0][1]


async def test_probe_that_cannot_be_tried_does_not_count(node: Node) -> None:
    """A probe whose action is impossible (a port that does not exist) says nothing of the container."""
    probe = {"httpGet": {"port": "nowhere"}, "periodSeconds": 1, "failureThreshold": 1}
    await node.client.create(Pod, probed(livenessProbe=probe))
    await node.running()
    await settle()
    await node.clock.advance(5)
    await settle()
    assert entry(await node.pod())["restartCount"] == 0
    why = 'strconv.Atoi: parsing "nowhere": invalid syntax'
    told = f"Liveness probe errored and resulted in unknown state: {why}"
    assert node.events("Unhealthy") == [("Unhealthy", told)]


@pytest.mark.parametrize(
    ("data", "ended", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", False, HttpAnswer(204)),
        (b"HTTP/1.0 200\r\n\r\nbody", False, None),
        (b"HTTP/1.0 200 OK\r\n\r\nbody", True, HttpAnswer(200)),
        (b"HTTP/1.1 500 Oops\r\n", False, None),
        (b"HTTP/1.1 500 Oops\r\n\r\n", True, HttpAnswer(500)),
        (b"HTTP/1.1 200 OK\r\n\r\n", False, None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbod", False, None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbod", True, "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", False, HttpAnswer(200)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"b" * 10_240, False, HttpAnswer(200)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 OK\r\n\r\n", False, HttpAnswer(204)),
        (b"HTTP/1.1 302 Found\r\n\r\n", False, None),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", False, HttpAnswer(302)),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nwhy", False, None),
        (b"HTTP/1.1 302 Found\r\n\r\nwhy\xff", True, HttpAnswer(302, "", "why\ufffd")),
        (b"HTTP/1.1 302 Found\r\nLOCATION:  /b \r\n\r\n", True, HttpAnswer(302, "/b")),
        (b"HTTP/1.1 304 Same\r\n\r\n", False, HttpAnswer(304)),
        (b"HTTP/1.1 301 X\r\n\r\n" + b"b" * 20_000, False, HttpAnswer(301, "", "b" * 10_240)),
        (CHUNKED + b"5\r\nhello\r\n3;x=y\r\n yo\r\n0\r\n\r\n", False, HttpAnswer(302, "", "hello yo")),
        (CHUNKED + b"5\r\nhello\r\n3", False, None),
        (CHUNKED + b"5\r\nhello\r\n3", True, "unexpected EOF"),
        (CHUNKED + b"ffff\r\n" + b"b" * 11_000, False, HttpAnswer(302, "", "b" * 10_240)),
        (b"", True, "EOF"),
        (b"HTTP/1.1 2", True, f"{BROKEN}: unexpected EOF"),
        (b"SSH-2.0-OpenSSH\r\n", False, f'{BROKEN}: malformed HTTP response "SSH-2.0-OpenSSH"'),
        (b"SSH-2.0-OpenSSH_9 Debian\r\n", False, f'{BROKEN}: malformed HTTP status code "Debian"'),
        (b"HTCPCP/1.0 418 Teapot\r\n", False, f'{BROKEN}: malformed HTTP version "HTCPCP/1.0"'),
        (b"H" * 70_000, False, f"{BROKEN}: unexpected EOF"),
    ],
)
def test_the_beginning_of_an_answer(data: bytes, ended: bool, expected: HttpAnswer | str | None) -> None:
    """An answer is there with its body, to that's end or limit; only a redirect's is kept."""
    try:
        found: HttpAnswer | str | None = read_answer(data, ended=ended)
    except (ValueError, BodyLost) as error:
        found = str(error)
    assert found == expected
