"""port-forward by the kubelet: streams of a client joined with connections, each direction for itself."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.commands import Idle
from minikube_py.kubelet.server.spdy import SpdyConnection, SpdyStream, spdy_over
from minikube_py.kubelet.server.streams import Forwarder

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def client() -> AsyncIterator[SpdyConnection]:
    """A SPDY client of a forwarder whose pod is this machine's loopback."""
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=right)

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    forwarder = Forwarder(dial, "sandbox", Idle(SystemClock(), 60.0))
    async with Tasks("test") as tasks:
        serving = tasks.spawn(forwarder.serve(lambda: reader.read(65536), write), "forwarder")
        async with spdy_over(*await asyncio.open_connection(sock=left)) as spdy:
            yield spdy
        await serving
        writer.close()


async def opened(client: SpdyConnection, port: int, id: str = "0") -> tuple[SpdyStream, SpdyStream]:
    """The two streams of a new connection: data and errors."""
    names = {"port": str(port), "requestid": id}
    error = await client.open({"streamtype": "error", **names})
    return await client.open({"streamtype": "data", **names}), error


async def whole(stream: SpdyStream) -> bytes:
    """All that comes on a stream."""
    data = b""
    while piece := await stream.read():
        data += piece
    return data


async def served(handler: Handler) -> tuple[asyncio.Server, int]:
    """A server on loopback, and its port."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_an_answer_after_the_clients_end(client: SpdyConnection) -> None:
    """A server that answers once it has read all, and takes its time, is heard to its last word."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = len(await reader.read(-1))
        asked.set()
        await go.wait()
        writer.write(str(size).encode() * 100_000)
        writer.close()

    server, port = await served(counting)
    async with server:
        data, error = await opened(client, port)
        await data.write(b"x" * 300_000)
        await data.close()
        await asked.wait()
        reading = asyncio.ensure_future(whole(data))
        await asyncio.sleep(0.7)  # longer than a session lasts in which both directions are to end
        go.set()
        assert await reading == b"300000" * 100_000
        assert await whole(error) == b""


async def test_a_server_that_ends_first(client: SpdyConnection) -> None:
    """The streams end with the server, though the client has ended nothing; others go on."""

    async def greeting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1000):
            writer.write(piece)
        writer.close()

    (one, first), (two, second) = await served(greeting), await served(echo)
    async with one, two:
        lasting, _ = await opened(client, second, "1")
        data, error = await opened(client, first, "2")
        assert (await whole(data), await whole(error)) == (b"hello", b"")
        await lasting.write(b"still here")
        assert await lasting.read() == b"still here"
        await lasting.close()
        assert await whole(lasting) == b""


async def test_what_nobody_reads_holds_nobody_up(client: SpdyConnection) -> None:
    """A server that ends its answer and reads no further costs its own connection only, whatever is sent."""
    done = asyncio.Event()

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await done.wait()
        writer.close()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1000))
        writer.close()

    (one, first), (two, second) = await served(deaf), await served(echo)
    async with one, two:
        data, _ = await opened(client, first, "1")
        sending = asyncio.ensure_future(data.write(b"x" * 20_000_000))
        assert await whole(data) == b""
        async with asyncio.timeout(10):
            await sending
            heard, _ = await opened(client, second, "2")
            await heard.write(b"me")
            assert await whole(heard) == b"me"
        done.set()


async def test_a_port_that_refuses(client: SpdyConnection) -> None:
    """The error stream tells which port of which pod, and why."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        data, error = await opened(client, port)
        told = (await whole(error)).decode()
    assert told.startswith(f"error forwarding port {port} to pod sandbox, uid : ")
    assert "onnect" in told
    assert await whole(data) == b""
