"""Forwarding: questions that the cluster cannot answer, asked of upstream name servers.

An upstream that does not answer within 2 s is skipped for the next. Each question leaves from a port of its own
and under a random id; answers are remembered for a few seconds.
"""

import asyncio
import logging
import random
import struct
from collections import OrderedDict
from collections.abc import Sequence

from minikube_py.dns import wire

log = logging.getLogger(__name__)

UPSTREAM_TIMEOUT = 2.0


class _Asking(asyncio.DatagramProtocol):
    """One question on its way upstream, from a port of its own."""

    def __init__(self, message: bytes, reply: asyncio.Future[bytes]) -> None:
        self._message = message
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.sendto(self._message)  # type: ignore[attr-defined]

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        if not self._reply.done() and data[:2] == self._message[:2]:
            self._reply.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(error)


class Forwarder:
    """Asks upstream name servers in turn, and remembers answers for a few seconds."""

    CACHE_SECONDS = 5.0
    CACHE_SIZE = 4096

    def __init__(self, upstreams: Sequence[str]) -> None:
        self._upstreams = [_host_port(upstream) for upstream in upstreams]
        self._cache: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    async def ask(self, message: bytes, *, tcp: bool) -> bytes | None:
        """The response to `message` under its id; None where nobody answers."""
        question, now = message[2:], asyncio.get_running_loop().time()
        known = self._cache.get(question)
        if known and known[0] > now and not (tcp and known[1][2] & 0x02):
            return message[:2] + known[1][2:]
        disguised = random.SystemRandom().randbytes(2) + question
        for host, port in self._upstreams:
            try:
                async with asyncio.timeout(UPSTREAM_TIMEOUT):
                    ask = self._ask_tcp if tcp else self._ask_udp
                    response = await ask(disguised, host, port)
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                log.debug("upstream %s:%d does not answer: %r", host, port, error)
                continue
            self._remember(question, response, now)
            return message[:2] + response[2:]
        return None

    def _remember(self, question: bytes, response: bytes, now: float) -> None:
        self._cache[question] = (now + self.CACHE_SECONDS, response)
        if len(self._cache) > self.CACHE_SIZE:
            self._cache.popitem(last=False)

    async def _ask_udp(self, message: bytes, host: str, port: int) -> bytes:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Asking(message, reply), remote_addr=(host, port)
        )
        try:
            return await reply
        finally:
            transport.close()

    async def _ask_tcp(self, message: bytes, host: str, port: int) -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(len(message).to_bytes(2, "big") + message)
            size = int.from_bytes(await reader.readexactly(2), "big")
            return await reader.readexactly(size)
        finally:
            writer.close()


def _host_port(upstream: str) -> tuple[str, int]:
    if upstream.count(":") == 1:
        host, _, port = upstream.partition(":")
        return host, int(port)
    return upstream, 53


def addresses_in(message: bytes) -> list[tuple[int, int, bytes]]:
    """(type, ttl, data) of the address records in a response's answer section."""
    found = []
    _, _, questions, answers, _, _ = struct.unpack_from("!HHHHHH", message)
    offset = 12
    try:
        for _ in range(questions):
            offset = wire.read_name(message, offset)[1] + 4
        for _ in range(answers):
            offset = wire.read_name(message, offset)[1]
            kind, _, ttl, length = struct.unpack_from("!HHIH", message, offset)
            offset += 10
            if kind in (wire.A, wire.AAAA):
                found.append((kind, ttl, message[offset : offset + length]))
            offset += length
    except (struct.error, wire.Malformed):
        log.debug("an upstream's response is malformed")
    return found
