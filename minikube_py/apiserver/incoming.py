"""Incoming: aiohttp's request, with what the server adds to the response to it, whoever makes that response."""

from collections.abc import Callable

from aiohttp import web


class Incoming(web.BaseRequest):
    """A request on its way. `added` are headers of its response; `received` is its body once it was read;
    `begun` is called before the response's first byte is sent, with its code."""

    added: dict[str, str] | None = None
    received: bytes = b""
    begun: Callable[[int], None] | None = None

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        if self.added is not None:
            response.headers.update(self.added)
        if self.begun is not None:
            self.begun(response.status)
