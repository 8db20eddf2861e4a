"""exec, attach and portForward of the kubelet's server: which container is meant, and how it is served."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from minikube_py.kubelet.logs.reading import LogOptions, read_log
from minikube_py.kubelet.server import streams
from minikube_py.kubelet.server.find import Refused, attached_run, find_container, find_pod, picked_run
from minikube_py.kubelet.shared import Shared
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
        command = query.getall("command", [])
        if not command:
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr, and a command")
        url = await self._shared.runtime.streams.exec(
            run.id, command, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        return await _command(request, url, wanted)

    async def _attach(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        wanted = _wanted(request)
        run = attached_run(self._shared, pod, name)
        replay = self._replay(run)
        can_replay = replay is not None and streams.is_websocket(request)
        if run.state == "running":
            try:
                url = await self._shared.runtime.streams.attach(
                    run.id, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
                )
            except RuntimeFailed:
                if not can_replay:
                    raise
            else:
                return await _command(request, url, wanted, replay)
        if replay is not None and can_replay and await replay.has_ended():
            return await streams.serve_replay(request, wanted, replay)
        raise Refused(500, f"container {name} not found in pod {rest[1]}_{rest[0]}")

    def _replay(self, run: Container) -> streams.Replay | None:
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

        return streams.Replay(ended, read)

    async def _port_forward(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod = find_pod(self._shared, rest)
        sandbox = self._shared.view.of(pod["metadata"]["uid"]).ready_sandbox()
        if sandbox is None:
            raise Refused(404, f'not found sandbox for pod "{rest[1]}"')
        texts = [text for value in request.query.getall("ports", []) for text in value.split(",")]
        ports = [int(text) for text in texts + request.query.getall("port", []) if text.isdigit()]
        url = await self._shared.runtime.streams.port_forward(sandbox.id, ports)
        if not streams.is_websocket(request):
            return await streams.proxy_spdy(request, url)
        if streams.tunnels(request):
            return await streams.serve_tunnel(request, url)
        return await streams.serve_forward(request, url, ports)


def _wanted(request: web.BaseRequest) -> streams.Wanted:
    """The streams asked for, under the kubelet's names for them or the API's."""

    def on(*names: str) -> bool:
        return any(request.query.get(name) in ("1", "true") for name in names)

    tty = on("tty")
    wanted = streams.Wanted(
        on("input", "stdin"), on("output", "stdout"), on("error", "stderr") and not tty, tty
    )
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return wanted


async def _command(
    request: web.BaseRequest, url: str, wanted: streams.Wanted, replay: streams.Replay | None = None
) -> web.StreamResponse:
    if streams.is_websocket(request):
        return await streams.serve_command(request, url, wanted, replay)
    return await streams.proxy_spdy(request, url)
