"""Calls: one gRPC channel to containerd's socket, called by method path; grpc's errors end here.

Works on uvloop and asyncio, one event loop per process. Every call carries containerd's namespace k8s.io,
which is where its CRI service keeps what pods use. A call without a deadline of its own has two minutes.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc
import grpc.aio

from minikube_py.runtime.base import RuntimeFailed, RuntimeNotFound, RuntimeUnavailable

NAMESPACE = "k8s.io"
DEADLINE = 120.0
NOT_INITIALIZED = "server is not initialized yet"  # CRI's words while it recovers what ran before
SHIM_CLOSED = "ttrpc: closed"
SHIM_ENDS = (0.02, 0.1, 0.5)  # seconds to wait before asking again
MESSAGE_LIMIT = 64 << 20  # bytes; ExecSync answers with up to 16 MiB for each of stdout and stderr

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
)

CODES = {code: "".join(part.capitalize() for part in code.name.split("_")) for code in grpc.StatusCode}
CODES |= {grpc.StatusCode.OK: "OK", grpc.StatusCode.CANCELLED: "Canceled"}
"""The codes of gRPC as Go names them."""


class AlreadyThere(RuntimeFailed):
    """What should be made exists already (content, a snapshot, an image, a reserved name)."""


class Calls:
    """Unary and streaming calls over one channel."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._unary: dict[str, Any] = {}

    async def unary(
        self,
        method: str,
        request: Any,
        response: type[Any],
        *,
        deadline: float | None = DEADLINE,
        headers: Mapping[str, str] | None = None,
        wait_for_ready: bool = False,
    ) -> Any:
        """The answer to one request. `deadline` is in seconds (None: wait for ever). Errors: RuntimeFailed and
        its subclasses; TimeoutError where the runtime or the deadline says so."""
        call = self._unary.get(method)
        if call is None:
            call = self._unary[method] = self._channel.unary_unary(
                method, type(request).SerializeToString, response.FromString
            )
        try:
            return await call(
                request, timeout=deadline, metadata=_metadata(headers), wait_for_ready=wait_for_ready
            )
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error

    async def repeated(
        self, method: str, request: Any, response: type[Any], *, deadline: float = DEADLINE
    ) -> Any:
        """As `unary`, for what may be asked twice (stopping): asked again where the container's shim was just
        ending by itself, which containerd reports as a closed connection."""
        for wait in SHIM_ENDS:
            try:
                return await self.unary(method, request, response, deadline=deadline)
            except RuntimeFailed as error:
                if SHIM_CLOSED not in str(error):
                    raise
                await asyncio.sleep(wait)
        return await self.unary(method, request, response, deadline=deadline)

    def server_stream(self, method: str, request: Any, response: type[Any]) -> Any:
        """A running call whose answers are iterated; the request is on its way when this returns."""
        call = self._channel.unary_stream(method, type(request).SerializeToString, response.FromString)
        return call(request, metadata=_metadata(None))

    async def exchange(
        self,
        method: str,
        requests: AsyncGenerator[Any],
        types: tuple[type[Any], type[Any]],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send each of `requests` (types: request, response) once the one before is answered; the last answer.
        Errors as `unary`: sent ahead, a refusal would surface as a broken stream without its reason."""
        stub = self._channel.stream_stream(method, types[0].SerializeToString, types[1].FromString)
        call = stub(metadata=_metadata(headers))
        answer = None
        try:
            async with contextlib.aclosing(requests):
                async for request in requests:
                    await call.write(request)
                    answer = await call.read()
            await call.done_writing()
            await call.read()
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        finally:
            call.cancel()
        return answer

    async def close(self) -> None:
        """End the channel and every call on it."""
        await self._channel.close(None)


def _metadata(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return (("containerd-namespace", NAMESPACE), *(headers or {}).items())


def translate(error: grpc.aio.AioRpcError) -> Exception:
    """The room's own error for a gRPC one, with the runtime's message and gRPC's code."""
    failure = _translated(error)
    if isinstance(failure, RuntimeFailed):
        failure.code = CODES[error.code()]
    return failure


def _translated(error: grpc.aio.AioRpcError) -> Exception:
    message = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.NOT_FOUND:
            return RuntimeNotFound(message)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return RuntimeUnavailable(f"the container runtime does not answer: {message}")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimeoutError(message)
        case grpc.StatusCode.UNKNOWN if NOT_INITIALIZED in message:
            return RuntimeUnavailable(f"the container runtime is starting: {message}")
        case grpc.StatusCode.ALREADY_EXISTS:
            return AlreadyThere(message)
        case _:
            return RuntimeFailed(message)
