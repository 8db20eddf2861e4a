"""One HTTP request on a connection, answered and closed: all that health checks need of HTTP."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""How long a client may take to send its request."""


async def answer_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, respond: Callable[[str, str], bytes]
) -> None:
    """Answer with what `respond` gives for a method and a path (an empty answer: none), and close."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            request = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0].decode("latin-1")
            method, target = [*request.split(" "), "", ""][:2]
            writer.write(respond(method, target.partition("?")[0]))
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        log.debug("a health check broke off: %s", error)
    finally:
        writer.close()


def response(code: int, body: str, method: str, headers: str) -> bytes:
    """A whole response; `headers` are those besides length and connection, each with its line end."""
    head = (
        f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n{headers}"
        f"Content-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n"
    )
    return (head if method == "HEAD" else head + body).encode()
