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
from multidict import CIMultiDict, CIMultiDictProxy

from minikube_py.apiserver.incoming import Incoming

log = logging.getLogger(__name__)

HEADER_SECONDS = 32.0
MAX_LINE = 128 * 1024
"""Bytes of a request line or header: exec commands and tokens are long."""


class Log(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log: what a client sent wrongly is no failure of ours, and no traceback."""

    def exception(self, msg: object, *args: object, exc_info: Any = None, **kwargs: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            self.info("%s: %s", str(msg) % args, " ".join(str(exc_info).split())[:300])
        else:
            super().exception(msg, *args, exc_info=exc_info, **kwargs)


def readable(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """The headers with what is no UTF-8 replaced, as in Kubernetes: it could be neither stored nor logged."""
    raw = ((name, value.encode("utf-8", "surrogateescape")) for name, value in headers.items())
    return CIMultiDictProxy(CIMultiDict((name, value.decode("utf-8", "replace")) for name, value in raw))


def _incoming(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Incoming:
    if not all(value.isascii() for _, value in message.raw_headers):
        message = message._replace(headers=readable(message.headers))
    return Incoming(message, payload, protocol, writer, task, asyncio.get_running_loop())


class Connections(web.Server):
    """Accepts connections and hands their requests to `answer`."""

    def __init__(
        self,
        answer: Callable[[Incoming], Awaitable[web.StreamResponse]],
        header_seconds: float = HEADER_SECONDS,
    ) -> None:
        super().__init__(
            self._answered,
            handler_cancellation=True,
            access_log=None,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            lingering_time=2.0,
            auto_decompress=False,  # Kubernetes takes no compressed bodies, and a bomb would hold up the loop
            logger=Log(log),
            request_factory=_incoming,
        )
        self._answer = answer
        self._header_seconds = header_seconds
        self._silent: dict[Any, asyncio.TimerHandle] = {}

    def __call__(self) -> Any:
        """The protocol of a new connection."""
        protocol = super().__call__()
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(self._header_seconds, self._close, protocol)
        return protocol

    def _close(self, protocol: Any) -> None:
        del self._silent[protocol]
        protocol.force_close()

    def _answered(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return self._answer(cast(Incoming, request))

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()
        super().connection_lost(handler, exc)
