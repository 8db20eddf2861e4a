"""The gRPC health check by hand: the HTTP/2 that it speaks, and its answers from real and from odd servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from minikube_py.runtime import http2
from minikube_py.runtime.health import Health, check
from minikube_py.runtime.http2 import Frame, HeaderTable, Malformed
from minikube_py.runtime.proto import health_pb2 as health

REQUESTS = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
)
RESPONSE = (
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166"
    "e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
)


def test_header_blocks_refer_to_earlier_ones() -> None:
    """The requests of RFC 7541, C.4: Huffman codes, the static table, and an entry of the block before."""
    table = HeaderTable()
    first, second = (table.decode(bytes.fromhex(block)) for block in REQUESTS)
    same = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"))
    assert first == same
    assert second == (*same, ("cache-control", "no-cache"))


def test_a_response_in_huffman_codes() -> None:
    """The response of RFC 7541, C.6.1."""
    assert HeaderTable().decode(bytes.fromhex(RESPONSE)) == (
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    )


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 5000])
def test_what_is_encoded_is_decoded(size: int) -> None:
    """Literals of any length come back as they were."""
    fields = (("name", "v" * size), ("te", "trailers"))
    assert HeaderTable().decode(http2.encode_headers(fields)) == fields


@pytest.mark.parametrize(
    "block",
    ["80", "be", "0005", "00856162", "7f" + "ff" * 9, "0001610101ff"[:8] + "81ff00", "408000", "0082ffff"],
)
def test_broken_header_blocks_are_refused(block: str) -> None:
    """What ends too early, or refers to nothing, is malformed, never more or less than that."""
    try:
        found = HeaderTable().decode(bytes.fromhex(block))
    except Malformed:
        found = ()
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in found)


def test_frames_are_taken_whole() -> None:
    """A frame leaves the buffer once all of it is there; padding and priority are no content."""
    padded = http2.frame(http2.DATA, http2.PADDED, 1, b"\2abc\0\0")
    first = http2.frame(http2.HEADERS, http2.PRIORITY, 1, b"\0\0\0\0\7block")
    buffer = bytearray(padded + first[:-1])
    assert [frame.content() for frame in http2.take_frames(buffer)] == [b"abc"]
    buffer += first[-1:]
    assert [frame.content() for frame in http2.take_frames(buffer)] == [b"block"]
    assert buffer == b""
    with pytest.raises(Malformed):
        http2.take_frames(bytearray(b"HTTP/1.1 400 Bad Request\r\n"))
    with pytest.raises(Malformed):
        Frame(http2.DATA, http2.PADDED, 1, b"\5abc").content()


@contextlib.asynccontextmanager
async def grpc_server(answer: Callable[[Any, Any], Awaitable[Any]] | None) -> AsyncIterator[str]:
    """A real server with this health service (None: without any); its address."""
    server = grpc.aio.server()
    if answer is not None:
        handler = grpc.unary_unary_rpc_method_handler(
            answer, health.HealthCheckRequest.FromString, health.HealthCheckResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
        server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def by_name(request: Any, context: Any) -> Any:
    """SERVING for all of it, NOT_SERVING for `bad`, never for `slow`; other services are not known."""
    if request.service == "slow":
        await asyncio.sleep(30)
    if request.service not in ("", "bad"):
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.service}: ü%")
    kind = health.HealthCheckResponse
    return kind(status=kind.NOT_SERVING if request.service else kind.SERVING)


@pytest.mark.parametrize(
    ("service", "timeout", "expected"),
    [
        ("", 10.0, Health("SERVING")),
        ("bad", 10.0, Health("NOT_SERVING")),
        ("what", 10.0, Health("", "NOT_FOUND", "no what: ü%")),
        ("slow", 0.5, Health("", "DEADLINE_EXCEEDED")),
    ],
)
async def test_a_real_server_answers(service: str, timeout: float, expected: Health) -> None:
    """A gRPC server is asked about a service, and tells its status or its error."""
    async with grpc_server(by_name) as address:
        answer = await check(address, service, timeout, "kube-probe/1.34")
    assert (answer.status, answer.code) == (expected.status, expected.code)
    assert answer.message == expected.message or expected.code == "DEADLINE_EXCEEDED"


async def test_a_server_without_health_checks() -> None:
    """A gRPC server that knows no such service says UNIMPLEMENTED."""
    async with grpc_server(None) as address:
        answer = await check(address, "", 10.0, "kube-probe/1.34")
    assert (answer.status, answer.code) == ("", "UNIMPLEMENTED")


SETTINGS = http2.frame(http2.SETTINGS, 0, 0)
NOT_FOUND = http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, b"\x8d")
SPLIT = http2.frame(http2.HEADERS, http2.END_STREAM, 1, b"\x88\0\x0bgrpc-") + http2.frame(
    http2.CONTINUATION, http2.END_HEADERS, 1, b"status\x0216"
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Health()),
        (b"", Health()),
        (SETTINGS, Health("", "UNAVAILABLE", "error reading from server: EOF")),
        (
            SETTINGS + NOT_FOUND,
            Health("", "UNIMPLEMENTED", "unexpected HTTP status code received from server: 404"),
        ),
        (
            SETTINGS + http2.frame(http2.RST_STREAM, 0, 1, b"\0\0\0\2"),
            Health("", "INTERNAL", "stream terminated by RST_STREAM with error code: 2"),
        ),
        (
            SETTINGS + http2.frame(http2.GOAWAY, 0, 0, bytes(8)),
            Health("", "UNAVAILABLE", "the server goes away"),
        ),
        (SETTINGS + SPLIT, Health("", "UNAUTHENTICATED")),
    ],
    ids=["http1", "silent", "cut-off", "not-found", "reset", "going-away", "split-headers"],
)
async def test_odd_servers(said: bytes, expected: Health) -> None:
    """What is no gRPC server, or breaks off, has no status; where no HTTP/2 was spoken, no code either."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        answered = await check(address, "", 0.4 if not expected.code else 10.0, "kube-probe/1.34")
    assert answered == expected


async def test_nobody_listens() -> None:
    """Where nothing listens no connection comes about."""
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    assert await check(f"127.0.0.1:{port}", "", 0.3, "kube-probe/1.34") == Health()
