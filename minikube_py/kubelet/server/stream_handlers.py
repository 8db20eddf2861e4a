"""exec, attach and portForward of the kubelet's server: which container is meant, and how it is served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from minikube_py.kubelet.logs.reading import LogOptions, read_log
from minikube_py.kubelet.server import streams
from minikube_py.kubelet.server.channels import (
    CHANNELS,
    ERROR,
    STDIN,
    ChannelSocket,
    CommandClient,
    Wanted,
    is_websocket,
    open_socket,
)
from minikube_py.kubelet.server.commands import (
    AttachCommand,
    ExecCommand,
    Idle,
    Replay,
    attach_streams,
    failed_status,
    serve,
)
from minikube_py.kubelet.server.find import (
    Refused,
    asked_ports,
    attached_run,
    find_container,
    find_pod,
    picked_run,
)
from minikube_py.kubelet.server.spdy import SpdyStream, spdy_over
from minikube_py.kubelet.server.spdy_client import V4, SpdyClient
from minikube_py.kubelet.server.upgrade import UpgradeRefused, upgrade_at
from minikube_py.kubelet.shared import Shared
from minikube_py.meta.objects import Obj, containers_of
from minikube_py.runtime.base import Container, RuntimeFailed

JUST_STARTED = 10.0  # seconds after its start in which who attaches to a container misses nothing


class StreamHandlers:
    """Answers requests for streams; `routes` are by the first part of the path."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def routes(self) -> Mapping[str, Callable[[web.BaseRequest, list[str]], Awaitable[web.StreamResponse]]]:
        """The handlers, which take the request and the rest of its path."""
        return {"exec": self._exec, "attach": self._attach, "portForward": self._port_forward}

    async def _exec(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        wanted, query = _wanted(request), request.query
        run = picked_run(self._shared, pod, name, running=True)
        argv = query.getall("command", [])
        if not argv:
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr, and a command")

        async def work(client: CommandClient) -> None:
            try:
                process = await self._shared.runtime.streams.exec(
                    run.id,
                    argv,
                    stdin=wanted.stdin,
                    stdout=wanted.stdout,
                    stderr=wanted.stderr,
                    tty=wanted.tty,
                )
            except (RuntimeFailed, TimeoutError) as error:
                await client.send_status(failed_status(str(error)))
                await client.close()
                return
            try:
                await serve(client, ExecCommand(process, argv), wanted.outputs, self._idle())
            finally:
                await process.close()

        return await _with_client(request, wanted, work)

    def _idle(self) -> Idle:
        return Idle(self._shared.clock, self._shared.config.stream_idle_timeout)

    async def _attach(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        wanted = _wanted(request)
        run = attached_run(self._shared, pod, name)
        replay = self._replay(run)
        async with contextlib.AsyncExitStack() as stack:
            found: dict[int, SpdyStream] = {}
            taken = None
            if run.state == "running":
                try:
                    found, taken = await self._attached(run, wanted, stack)
                except (RuntimeFailed, UpgradeRefused, OSError):
                    if replay is None:
                        raise
            if not found and (replay is None or not await replay.has_ended()):
                raise Refused(500, f"container {name} not found in pod {rest[1]}_{rest[0]}")
            lasts = _ends_with_its_client(pod, name) and not wanted.tty
            command = AttachCommand(found, wanted.outputs, replay, None if lasts else taken)
            return await _with_client(
                request, wanted, lambda client: serve(client, command, wanted.outputs, self._idle())
            )

    async def _attached(
        self, run: Container, wanted: Wanted, stack: contextlib.AsyncExitStack
    ) -> tuple[dict[int, SpdyStream], SpdyStream | None]:
        """The streams of a container that runs, and the one that ends when all input was taken. Input has a
        connection of its own: containerd takes no more of it once an output of its connection has ended.
        Errors: RuntimeFailed, UpgradeRefused, OSError."""
        if not (wanted.stdin and wanted.outputs):
            return await self._joined(run, wanted, stack), None
        output = await self._joined(run, replace(wanted, stdin=False), stack)
        input = await self._joined(run, Wanted(True, False, False, False), stack)
        return {**output, STDIN: input[STDIN]}, input[ERROR]

    async def _joined(
        self, run: Container, wanted: Wanted, stack: contextlib.AsyncExitStack
    ) -> dict[int, SpdyStream]:
        url = await self._shared.runtime.streams.attach(
            run.id, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        reader, writer, _ = await upgrade_at(url, [V4])
        return await attach_streams(await stack.enter_async_context(spdy_over(reader, writer)), wanted)

    def _replay(self, run: Container) -> Replay | None:
        """The log of a container that has started a moment ago, for who attaches to it."""
        if self._shared.epoch() - run.started_at > JUST_STARTED or not run.log_path:
            return None
        view, path = self._shared.view, Path(run.log_path)

        async def ended() -> bool:
            found = view.find(run.id)
            if found is not None and found.state == "running":
                found = await view.refresh(run.id)  # the event may still be on its way
            return found is None or found.state == "exited"

        def read(stream: str) -> AsyncIterator[bytes]:
            return read_log(path, LogOptions(stream=stream), lambda: False)

        return Replay(ended, read)

    async def _port_forward(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod = find_pod(self._shared, rest)
        sandbox = self._shared.view.of(pod["metadata"]["uid"]).ready_sandbox()
        if sandbox is None:
            raise Refused(404, f'not found sandbox for pod "{rest[1]}"')
        id, connect = sandbox.id, self._shared.runtime.streams.connect

        async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            try:
                return await asyncio.open_connection(sock=await connect(id, port))
            except RuntimeFailed as error:
                raise OSError(str(error)) from error

        if is_websocket(request) and not streams.tunnels(request):
            return await streams.serve_channels(
                request, dial, id, asked_ports(request.query.getall("port", []))
            )
        forwarder = streams.Forwarder(dial, id, self._idle())
        serve = streams.serve_tunnel if is_websocket(request) else streams.serve_spdy
        return await serve(request, forwarder)


def _ends_with_its_client(pod: Obj, name: str) -> bool:
    """Whether a container's input ends with that of the first client that attaches to it."""
    specs = (spec for spec in containers_of(pod["spec"]) if spec["name"] == name)
    return any(spec.get("stdinOnce") for spec in specs)


def _wanted(request: web.BaseRequest) -> Wanted:
    """The streams asked for, under the kubelet's names for them or the API's."""

    def on(*names: str) -> bool:
        return any(request.query.get(name) in ("1", "true") for name in names)

    tty = on("tty")
    wanted = Wanted(on("input", "stdin"), on("output", "stdout"), on("error", "stderr") and not tty, tty)
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return wanted


async def _with_client(
    request: web.BaseRequest, wanted: Wanted, work: Callable[[CommandClient], Awaitable[None]]
) -> web.StreamResponse:
    """Do the work with the client's streams, by the protocol that it asks for. Errors: UpgradeRefused."""
    if is_websocket(request):
        socket = await open_socket(request, CHANNELS)
        with contextlib.suppress(ConnectionError):
            await work(ChannelSocket(socket))
        return socket
    async with SpdyClient(request, wanted) as client:
        if await client.has_streams():
            with contextlib.suppress(ConnectionError):
                await work(client)
        return client.response
