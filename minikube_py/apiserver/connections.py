"""HTTP connections: aiohttp's low-level server, hardened against clients that connect and then say little.

A connection whose first request has not arrived in full by HEADER_SECONDS is closed, as kube-apiserver's read
header timeout does; later ones are bounded by aiohttp's keep-alive timeout. What is no HTTP is answered 400 and
logged as one line.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from minikube_py.apiserver.incoming import Incoming, Known, incoming

log = logging.getLogger(__name__)

HEADER_SECONDS = 32.0
MAX_LINE = 128 * 1024
"""Bytes of a request line or header: exec commands and tokens are long."""


class Log(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log: what a client sent wrongly is no failure of ours, and no traceback."""

    def exception(self, msg: object, *args: object, exc_info: Any = None, **kwargs: Any) -> None:
        if isinstance(exc_info, ConnectionError):
            self.debug("%s: the client has left", str(msg) % args)
        elif isinstance(exc_info, HttpProcessingError):
            self.info("%s: %s", str(msg) % args, " ".join(str(exc_info).split())[:300])
        else:
            super().exception(msg, *args, exc_info=exc_info, **kwargs)


class Connection(web.RequestHandler):
    """One connection, with what is known of it. `silent` is the timer that ends it while nothing was asked."""

    __slots__ = ("known", "silent")

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self.known = Known()
        self.silent: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """It has asked something, or is gone: it need not be ended."""
        if self.silent is not None:
            self.silent.cancel()
            self.silent = None


class Connections(web.Server):
    """Accepts connections and hands their requests to `answer`."""

    def __init__(
        self,
        answer: Callable[[Incoming], Awaitable[web.StreamResponse]],
        header_seconds: float = HEADER_SECONDS,
    ) -> None:
        super().__init__(self._answered, handler_cancellation=True, request_factory=incoming)
        self._answer = answer
        self._header_seconds = header_seconds
        self._options: dict[str, Any] = {
            "access_log": None,
            "max_line_size": MAX_LINE,
            "max_field_size": MAX_LINE,
            "lingering_time": 2.0,
            "auto_decompress": False,  # Kubernetes takes no compressed bodies; a bomb would hold up the loop
            "logger": Log(log),
        }

    def __call__(self) -> Any:
        """The protocol of a new connection."""
        loop = asyncio.get_running_loop()
        connection = Connection(self, loop=loop, **self._options)
        connection.silent = loop.call_later(self._header_seconds, connection.force_close)
        return connection

    def _answered(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        connection = cast(Connection, request.protocol)
        if connection.silent is not None:
            connection.heard()
        return self._answer(cast(Incoming, request))

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        handler.heard()
        super().connection_lost(handler, exc)
