"""KubeletServer: the kubelet's HTTPS API, which the API server calls for logs, exec, attach, port-forward and
statistics (port 10250).

A request is authenticated by a client certificate of the cluster's CA or a bearer token. Members of
system:masters may do everything; for all others `Access` decides; nobody else gets more than /healthz.
"""

import asyncio
import logging
import shutil
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from minikube_py.errors import ApiError, Unauthorized
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet import streams
from minikube_py.kubelet.access import Access, AccessRequest
from minikube_py.kubelet.config import ServerConfig
from minikube_py.kubelet.find import Refused, find_container, find_pod, log_options, picked_run
from minikube_py.kubelet.logs import read_log
from minikube_py.kubelet.machine import available_memory, cpu_seconds, uptime
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.spdy import SpdyFailed
from minikube_py.kubelet.stats import Metric, NodeUsage, Used, render, resource_metrics, summary
from minikube_py.kubelet.upgrade import UpgradeRefused
from minikube_py.kubelet.view import POD_UID
from minikube_py.meta.objects import Obj, dig
from minikube_py.runtime.base import RuntimeFailed

log = logging.getLogger(__name__)

MASTERS = "system:masters"
EXEC_LIMIT = 120.0  # seconds for /run
Handler = Callable[[web.BaseRequest, list[str]], Awaitable[web.StreamResponse]]
SUBRESOURCES = {"containerLogs": "log", "stats": "stats", "metrics": "metrics"}


class KubeletServer:
    """The server; use as an async context manager."""

    def __init__(self, shared: Shared, config: ServerConfig, access: Access | None) -> None:
        self._shared, self._config, self._access = shared, config, access
        self._runner: web.ServerRunner | None = None
        self._routes: dict[str, Handler] = {
            "healthz": self._healthz,
            "pods": self._pods,
            "runningpods": self._running_pods,
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "run": self._run,
            "stats": self._stats,
            "metrics": self._metrics,
        }

    async def __aenter__(self) -> "KubeletServer":
        config = self._config
        context = await asyncio.to_thread(_tls, config)
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        for address in config.addresses:
            await web.TCPSite(self._runner, address, config.port, ssl_context=context).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def ports(self) -> list[int]:
        """The ports it listens on, for a configured port 0."""
        return [address[1] for address in (self._runner.addresses if self._runner else ())]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        handler = self._routes.get(parts[0]) if parts else None
        try:
            if parts != ["healthz"]:
                await self._authorize(request, parts)
            if handler is None:
                raise Refused(404, "404 page not found\n")
            return await handler(request, parts[1:])
        except Refused as refusal:
            return web.Response(status=refusal.status, text=str(refusal))
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)
        except UpgradeRefused as refusal:
            return web.Response(status=refusal.status, text=refusal.text)
        except (RuntimeFailed, SpdyFailed, TimeoutError, OSError) as error:
            log.warning("%s %s failed: %s", request.method, request.path, error)
            return web.Response(status=500, text=str(error))

    async def _authorize(self, request: web.BaseRequest, parts: list[str]) -> None:
        user, groups = _subject(request)
        if MASTERS in groups:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else ""
        if not user and not token:
            raise Unauthorized("Unauthorized")
        first = parts[0] if parts else ""
        asked = AccessRequest(
            node=self._shared.config.node_name,
            verb="get" if request.method in ("GET", "HEAD") else "create",
            subresource=SUBRESOURCES.get(first, "proxy"),
            path=request.path,
            token=token,
            user=user,
            groups=groups,
        )
        if self._access is None or not await self._access.allowed(asked):
            who = f"user={user}" if user else "this user"
            raise Refused(
                403, f"Forbidden ({who}, verb={asked.verb}, resource=nodes, subresource={asked.subresource})"
            )

    async def _healthz(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        return web.Response(text="ok")

    def _own_pods(self) -> list[Obj]:
        name = self._shared.config.node_name
        return [p for p in self._shared.client.cache.list(Pod) if dig(p, "spec.nodeName") == name]

    async def _pods(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._own_pods()})

    async def _running_pods(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        view = self._shared.view
        live = {
            uid for uid in view.uids() if any(c.state == "running" for c in view.of(uid).containers.values())
        }
        items = [pod for pod in self._own_pods() if pod["metadata"]["uid"] in live]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _logs(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        options = log_options(request.query, self._shared.clock.now())
        run = picked_run(self._shared, pod, name, previous=request.query.get("previous") in ("true", "1"))
        path, view = await asyncio.to_thread(_existing, run.log_path), self._shared.view

        def is_running() -> bool:
            found = view.find(run.id)
            return found is not None and found.state == "running"

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for piece in read_log(path, options, is_running):
                await response.write(piece)
        except ConnectionError:
            return response  # the client has seen enough
        return response

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
        run = picked_run(self._shared, pod, name, running=True)
        url = await self._shared.runtime.streams.attach(
            run.id, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        return await _command(request, url, wanted)

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

    async def _run(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        run = picked_run(self._shared, pod, name, running=True)
        command = request.query.get("cmd", "").split() or request.query.getall("command", [])
        result = await self._shared.runtime.streams.exec_sync(run.id, command, EXEC_LIMIT)
        return web.Response(body=result.stdout + result.stderr, content_type="text/plain")

    async def _usage(self) -> tuple[NodeUsage, Used]:
        shared = self._shared
        stats = await shared.runtime.monitor.stats()
        pairs = [(shared.view.find(entry.container_id), entry) for entry in stats]
        used = [(c, entry) for c, entry in pairs if c is not None and c.labels.get(POD_UID)]
        disk = shutil.disk_usage(shared.config.root_dir)
        now = shared.clock.now()
        node = NodeUsage(
            shared.config.node_name,
            shared.memory,
            available_memory(),
            cpu_seconds(),
            now - timedelta(seconds=uptime()),
            (disk.total, disk.free),
            now,
        )
        return node, used

    async def _stats(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if rest != ["summary"]:
            raise Refused(404, "404 page not found\n")
        return _json(summary(*await self._usage()))

    async def _metrics(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if rest == ["resource"]:
            metrics = resource_metrics(*await self._usage())
        elif not rest:
            metrics = self._own_metrics()
        else:
            raise Refused(404, "404 page not found\n")
        return web.Response(
            body=render(metrics).encode(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    def _own_metrics(self) -> list[Metric]:
        view = self._shared.view
        states: dict[str, int] = {}
        for uid in view.uids():
            for container in view.of(uid).containers.values():
                states[container.state] = states.get(container.state, 0) + 1
        containers = [({"container_state": state}, float(count)) for state, count in sorted(states.items())]
        node = [({"node": self._shared.config.node_name}, 1.0)]
        pods: list[tuple[dict[str, str], float]] = [
            ({}, float(sum(view.of(uid).ready_sandbox() is not None for uid in view.uids())))
        ]
        return [
            Metric("kubelet_node_name", "gauge", "The node's name. The count is always 1.", node),
            Metric("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox", pods),
            Metric("kubelet_running_containers", "gauge", "Number of containers by their state", containers),
        ]


def _tls(config: ServerConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.key)
    context.load_verify_locations(config.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _subject(request: web.BaseRequest) -> tuple[str, tuple[str, ...]]:
    """User and groups of a verified client certificate: its common name and organizations."""
    certificate: dict[str, Any] = {}
    if request.transport is not None:
        certificate = request.transport.get_extra_info("peercert") or {}
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    user = next((value for name, value in pairs if name == "commonName"), "")
    return user, tuple(value for name, value in pairs if name == "organizationName")


def _existing(path: str) -> Path:
    if not path or not Path(path).is_file():
        raise Refused(404, f"failed to try resolving symlinks in path {path!r}: no such file or directory")
    return Path(path)


def _json(obj: Any) -> web.Response:
    return web.Response(body=orjson.dumps(obj), content_type="application/json")


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


async def _command(request: web.BaseRequest, url: str, wanted: streams.Wanted) -> web.StreamResponse:
    if streams.is_websocket(request):
        return await streams.serve_command(request, url, wanted)
    return await streams.proxy_spdy(request, url)
