"""Probes in virtual time, against a server of the test and commands of the simulated runtime."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from kubelet_node import Node, pod_object, settle

from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.prober.exchange import HttpAnswer, read_answer
from minikube_py.kubelet.prober.handlers import Answer, HttpRequest, http_get, tcp_connect
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
            if path == "/near":
                status, more = "302 Found", "Location: /here\r\n"
            writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n".encode())
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server


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
    ],
)
async def test_http_answers(path: str, status: str, expected: Answer) -> None:
    """200 to 399 succeed; redirects are followed on the same host only."""
    async with serving() as server:
        server.status = status
        assert await http_get(get(server.port, path)) == expected


async def test_refused_connections(unused_tcp_port: int) -> None:
    """Nobody listening is told in Kubernetes' words."""
    where = f"127.0.0.1:{unused_tcp_port}"
    assert await tcp_connect("127.0.0.1", unused_tcp_port) == Answer(
        False, f"dial tcp {where}: connect: connection refused"
    )
    assert await http_get(get(unused_tcp_port)) == Answer(
        False, f'Get "http://{where}/": dial tcp {where}: connect: connection refused'
    )


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
    told = "Liveness probe errored and resulted in unknown state: couldn't find port: nowhere"
    assert node.events("Unhealthy") == [("Unhealthy", told)]


@pytest.mark.parametrize(
    ("data", "ended", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", False, HttpAnswer(204)),
        (b"HTTP/1.0 200\r\n\r\nbody", False, HttpAnswer(200)),
        (b"HTTP/1.1 500 Oops\r\n", False, None),
        (b"HTTP/1.1 500 Oops\r\n\r\n", False, None),
        (b"HTTP/1.1 500 Oops\r\n\r\n", True, HttpAnswer(500)),
        (b"HTTP/1.1 500 Oops\r\n\r\nwhy\xff", False, HttpAnswer(500, "", "why\ufffd")),
        (b"HTTP/1.1 302 Found\r\nLOCATION:  /b \r\n\r\n", True, HttpAnswer(302, "/b")),
        (b"HTTP/1.1 404 X\r\n\r\n" + b"b" * 20_000, False, HttpAnswer(404, "", "b" * 10_240)),
        (b"", True, "EOF"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False, 'malformed HTTP response "SSH-2.0-OpenSSH"'),
        (b"H" * 70_000, False, "EOF"),
    ],
)
def test_the_beginning_of_an_answer(data: bytes, ended: bool, expected: HttpAnswer | str | None) -> None:
    """A success needs no body; any other answer is read up to the beginning of its body, or its end."""
    try:
        found: HttpAnswer | str | None = read_answer(data, ended=ended)
    except ValueError as error:
        found = str(error)
    assert found == expected
