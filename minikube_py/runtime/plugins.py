"""Plugins of the node: how gRPC services on unix sockets are called and served, and how plugins register (v1).

Errors are PluginFailed, whose text is that of Go's gRPC, because clients see it in events. A call without a
deadline of its own has two minutes. Sockets whose path is too long for the kernel are reached through their
folder's descriptor.
"""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from minikube_py.runtime.calls import CODES
from minikube_py.runtime.proto import csi_pb2 as csi

DEADLINE = 120.0
LONGEST_PATH = 107  # bytes of a unix socket's path (unix(7))
REGISTRATION = "/pluginregistration.Registration/"
_STATUS = {name: code for code, name in CODES.items()}

Serve = Callable[[Any], Any]
"""Serves a request: a coroutine function that answers it, or an asynchronous generator of many answers."""
Methods = Mapping[str, tuple[Any, Serve]]
"""A method > the type of its request, and what serves it."""


class PluginFailed(Exception):
    """A plugin refused or does not answer. `code` is the gRPC code as Go names it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {message}")
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What a plugin says of itself at its registration socket."""

    type: str
    name: str
    endpoint: str
    versions: tuple[str, ...]


def short_path(socket: Path) -> tuple[str, int]:
    """A path of a unix socket that the kernel takes, and the descriptor of its folder that must stay open
    meanwhile (-1: none)."""
    if len(os.fsencode(socket)) <= LONGEST_PATH:
        return str(socket), -1
    folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{socket.name}", folder


class PluginChannel:
    """Calls to one unix socket; `close` it in the end. `failure` is the error that is raised."""

    def __init__(self, socket: Path, failure: type[PluginFailed] = PluginFailed) -> None:
        path, self._folder = short_path(socket)
        self._failure = failure
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=options)

    async def call(
        self, method: str, request: Any, answer: type[Any], deadline: float | None = DEADLINE
    ) -> Any:
        """The answer to one request (deadline None: wait for ever). Errors: `failure`."""
        stub = self._channel.unary_unary(method, type(request).SerializeToString, answer.FromString)
        try:
            return await stub(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error

    async def stream(self, method: str, request: Any, answer: type[Any]) -> AsyncIterator[Any]:
        """The answers to one request, until the plugin ends them. Errors: `failure`."""
        stub = self._channel.unary_stream(method, type(request).SerializeToString, answer.FromString)
        call = stub(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        finally:
            call.cancel()

    def _failed(self, error: grpc.aio.AioRpcError) -> PluginFailed:
        return self._failure(CODES[error.code()], error.details() or "")

    async def connect(self) -> None:
        """Wait until the socket is served."""
        await self._channel.channel_ready()

    async def follow(self, tell: Callable[[bool], None]) -> None:
        """Tell whether the socket is served, now and whenever that changes, until the channel is closed."""
        before: bool | None = None
        while (state := self._channel.get_state(try_to_connect=True)) != grpc.ChannelConnectivity.SHUTDOWN:
            up = state == grpc.ChannelConnectivity.READY
            if up != before:
                before = up
                tell(up)
            await self._channel.wait_for_state_change(state)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close(None)
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


class PluginServer:
    """gRPC services on a unix socket; what serves a method may raise PluginFailed."""

    def __init__(self, path: Path, services: Mapping[str, Methods]) -> None:
        self.path, self._services = path, services
        self._server: grpc.aio.Server | None = None
        self._folder = -1

    async def start(self) -> None:
        """Listen, in the place of what may have listened before. Errors: OSError."""
        await asyncio.to_thread(_make_room, self.path)
        self._server = grpc.aio.server()
        for name, methods in self._services.items():
            handlers = {method: _handler(*served) for method, served in methods.items()}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        short, self._folder = short_path(self.path)
        try:
            self._server.add_insecure_port(f"unix:{short}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self.path}: {error}") from error
        await self._server.start()

    async def stop(self) -> None:
        """Listen no more; the socket is gone."""
        if self._server is not None:
            await asyncio.to_thread(self.path.unlink, missing_ok=True)
            await self._server.stop(0)
            self._server = None
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def _handler(request: Any, serve: Serve) -> Any:
    """What grpc is to call for a method."""

    async def one(message: Any, context: Any) -> Any:
        try:
            return await serve(message)
        except PluginFailed as failure:
            await context.abort(_STATUS[failure.code], failure.message)

    async def many(message: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in serve(message):
            yield answer

    coders = (request.FromString, lambda answer: answer.SerializeToString())
    if inspect.isasyncgenfunction(serve):
        return grpc.unary_stream_rpc_method_handler(many, *coders)
    return grpc.unary_unary_rpc_method_handler(one, *coders)


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


class Registration:
    """A plugin's registration socket."""

    def __init__(self, socket: Path) -> None:
        self._channel = PluginChannel(socket)

    async def info(self) -> PluginInfo:
        """Who the plugin is. Errors: PluginFailed."""
        said = await self._channel.call(REGISTRATION + "GetInfo", csi.Empty(), csi.PluginInfo, 10.0)
        return PluginInfo(said.type, said.name, said.endpoint, tuple(said.supported_versions))

    async def notify(self, error: str = "") -> None:
        """Tell the plugin how its registration went. Errors: PluginFailed."""
        status = csi.RegistrationStatus(plugin_registered=not error, error=error)
        await self._channel.call(REGISTRATION + "NotifyRegistrationStatus", status, csi.Empty, 10.0)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()
