"""Asks a server how it is, by the gRPC health checking protocol (grpc.health.v1.Health/Check).

One connection per question, without TLS, as Kubernetes' probes do; it is closed with the answer. The call is
written by hand over HTTP/2, since a channel of the gRPC library for each question costs four times as much.
"""

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from minikube_py.runtime import http2
from minikube_py.runtime.http2 import Frame, HeaderTable, Malformed
from minikube_py.runtime.proto import health_pb2 as health

METHOD = "/grpc.health.v1.Health/Check"
RETRY = 0.15  # seconds until a connection that did not come about is tried again
CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status codes, by number."""
FROM_HTTP = {
    "400": "INTERNAL",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "UNIMPLEMENTED",
    "429": "UNAVAILABLE",
    "502": "UNAVAILABLE",
    "503": "UNAVAILABLE",
    "504": "UNAVAILABLE",
}
"""What the status of an answer without a gRPC status means (gRPC, http-grpc-status-mapping)."""
ANSWER_LIMIT = 64 * 1024  # bytes of headers and of data that an answer may have


@dataclass(frozen=True, slots=True)
class Health:
    """An answer. `status` is SERVING, NOT_SERVING, UNKNOWN or SERVICE_UNKNOWN; where there is none, `code` is
    the gRPC code (such as NOT_FOUND) with its message, or empty where no connection came about."""

    status: str = ""
    code: str = ""
    message: str = ""


async def check(address: str, service: str, timeout: float, agent: str) -> Health:
    """Ask the server at `address` (host:port) about `service` ('': all of it), within `timeout` seconds."""
    host, _, port = address.rpartition(":")
    question = _question(address, service, timeout, agent)
    call = _Call(question)
    try:
        async with asyncio.timeout(timeout):
            while (answer := await _ask(call, host.strip("[]"), int(port))) is None:
                await asyncio.sleep(RETRY)
                call = _Call(question)
            return answer
    except TimeoutError:
        return Health(code="DEADLINE_EXCEEDED") if call.connected else Health()
    finally:
        call.close()


async def _ask(call: "_Call", host: str, port: int) -> Health | None:
    """The answer; None where no connection came about."""
    try:
        await asyncio.get_running_loop().create_connection(lambda: call, host, port)
    except OSError:
        return None
    return await call.answer


@lru_cache(1024)
def _question(address: str, service: str, timeout: float, agent: str) -> bytes:
    """All that is sent: the preface, no settings of our own, the request's headers and its message."""
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", address),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("grpc-timeout", f"{max(1, int(timeout * 1000))}m"),
    )
    message = health.HealthCheckRequest(service=service).SerializeToString()
    return b"".join(
        (
            http2.PREFACE,
            http2.frame(http2.SETTINGS, 0, 0),
            http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.encode_headers(headers)),
            http2.frame(http2.DATA, http2.END_STREAM, 1, b"\0" + len(message).to_bytes(4, "big") + message),
        )
    )


class _Call(asyncio.Protocol):
    """One connection with one question. `answer` becomes None where it broke off before the server had spoken
    HTTP/2; `connected` tells that it has."""

    def __init__(self, question: bytes) -> None:
        self._question = question
        self.answer: asyncio.Future[Health | None] = asyncio.get_running_loop().create_future()
        self.connected = False
        self._transport: asyncio.Transport | None = None
        self._buffer, self._block, self._data = bytearray(), bytearray(), bytearray()
        self._table = HeaderTable()
        self._fields: dict[str, str] = {}
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._question)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for frame in http2.take_frames(self._buffer):
                self._take(frame)
        except Malformed as error:
            self._end(Health(code="UNAVAILABLE", message=str(error)) if self.connected else None)

    def connection_lost(self, exc: Exception | None) -> None:
        lost = Health(code="UNAVAILABLE", message="error reading from server: EOF")
        self._end(lost if self.connected else None)

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, answer: Health | None) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)
        self.close()

    def _take(self, frame: Frame) -> None:
        if frame.type == http2.SETTINGS:
            self.connected = True
        elif not self.connected:
            raise Malformed("the first frame is none of settings")
        elif frame.type == http2.DATA and frame.stream == 1:
            self._data += frame.content()
        elif frame.type in (http2.HEADERS, http2.CONTINUATION):
            self._block += frame.content() if frame.type == http2.HEADERS else frame.payload
            if frame.flags & http2.END_HEADERS:
                self._fields |= dict(self._table.decode(bytes(self._block)))
                self._block.clear()
        elif frame.type == http2.RST_STREAM:
            code = int.from_bytes(frame.payload[:4], "big")
            self._end(
                Health(code="INTERNAL", message=f"stream terminated by RST_STREAM with error code: {code}")
            )
        elif frame.type == http2.GOAWAY and not int.from_bytes(frame.payload[:4], "big") & 1:
            self._end(Health(code="UNAVAILABLE", message="the server goes away"))
        if len(self._block) + len(self._data) > ANSWER_LIMIT:
            raise Malformed("an answer of more than 64 KB")
        if frame.flags & http2.END_STREAM and frame.stream == 1 and frame.type in (http2.DATA, http2.HEADERS):
            self._last = True
        if self._last and not self._block:
            self._end(answer_of(self._fields, bytes(self._data)))


def answer_of(fields: dict[str, str], data: bytes) -> Health:
    """What an answer's headers, trailers and message mean."""
    number, http = fields.get("grpc-status"), fields.get(":status", "")
    if number is None:
        code = FROM_HTTP.get(http, "UNKNOWN")
        return Health(code=code, message=f"unexpected HTTP status code received from server: {http}")
    if number != "0":
        known = number.isascii() and number.isdigit() and int(number) < len(CODES)
        return Health(
            code=CODES[int(number)] if known else "UNKNOWN", message=unquote(fields.get("grpc-message", ""))
        )
    try:
        answer = health.HealthCheckResponse.FromString(data[5:])
    except DecodeError as error:
        return Health(code="INTERNAL", message=f"the answer cannot be read: {error}")
    return Health(status=_names().get(answer.status) or str(answer.status))


@lru_cache(1)
def _names() -> dict[int, str]:
    return {value: name for name, value in health.HealthCheckResponse.ServingStatus.items()}
