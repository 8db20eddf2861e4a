"""KubeletServer: the kubelet's HTTPS API, which the API server calls for logs, exec, attach, port-forward and
statistics (port 10250).

A request is authenticated by a client certificate of the cluster's CA or a bearer token. Members of
system:masters may do everything; for all others `Access` decides; nobody else gets anything. Checkpoints,
profiles and flags are not served.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
from aiohttp import web

from minikube_py.errors import ApiError, Unauthorized
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.config import ServerConfig
from minikube_py.kubelet.logs.reading import read_log, why_no_log
from minikube_py.kubelet.server.access import Access, AccessRequest
from minikube_py.kubelet.server.find import (
    Refused,
    asked,
    find_container,
    kept_log,
    log_options,
    picked_run,
    running_pod,
)
from minikube_py.kubelet.server.node_logs import node_logs
from minikube_py.kubelet.server.spdy import SpdyFailed
from minikube_py.kubelet.server.stats_handlers import StatsHandlers
from minikube_py.kubelet.server.stream_handlers import StreamHandlers
from minikube_py.kubelet.server.upgrade import UpgradeRefused
from minikube_py.kubelet.shared import Shared
from minikube_py.meta.objects import Obj, dig, uid_of
from minikube_py.runtime.base import RuntimeFailed

log = logging.getLogger(__name__)

MASTERS = "system:masters"
EXEC_LIMIT = 120.0  # seconds for /run
MAX_LINE = 1 << 20  # bytes of a request line or header, as in Go's server: commands of exec stand in the line
Handler = Callable[[web.BaseRequest, list[str]], Awaitable[web.StreamResponse]]
COUNTED = frozenset(
    (
        *("pods", "runningpods", "healthz", "configz", "containerLogs", "exec", "attach", "portForward", "run"),
        *("checkpoint", "logs", "stats", "metrics", "metrics/resource", "metrics/cadvisor", "metrics/probes"),
        "metrics/slis",
    )
)
READ, CALL = frozenset(("GET", "HEAD")), frozenset(("GET", "POST"))
ALLOWED = {
    **dict.fromkeys(("pods", "runningpods", "stats", "containerLogs", "logs"), READ),
    **dict.fromkeys(("exec", "attach", "portForward"), CALL),
    **dict.fromkeys(("run", "checkpoint"), frozenset(("POST",))),
}
"""The methods of paths by their first part; those that are not here take any."""
METHODS = frozenset(("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"))
"""What requests are counted by; of paths the first part."""
CHECKS = ("ping", "log", "syncloop")
"""What /healthz consists of; each can be asked for by itself."""
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SUBRESOURCES = {
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "checkpoint": ("checkpoint",),
    "pods": ("pods", "proxy"),
    "runningpods": ("pods", "proxy"),
    "healthz": ("healthz", "proxy"),
    "configz": ("configz", "proxy"),
}
"""The subresources of nodes by the first part of the path: a right to one of them is enough (KEP-2862). All
else is `proxy`."""


class KubeletServer:
    """The server; use as an async context manager."""

    def __init__(self, shared: Shared, config: ServerConfig, access: Access, stats: StatsHandlers) -> None:
        self._shared, self._config, self._access = shared, config, access
        self._runner: web.ServerRunner | None = None
        self._routes: dict[str, Handler] = {
            "healthz": self._healthz,
            "pods": self._pods,
            "runningpods": self._running_pods,
            "containerLogs": self._logs,
            **StreamHandlers(shared).routes(),
            "run": self._run,
            "checkpoint": self._checkpoint,
            "logs": self._node_logs,
            **stats.routes(),
        }

    async def __aenter__(self) -> "KubeletServer":
        config = self._config
        context = await asyncio.to_thread(_tls, config)
        server = web.Server(self._handle, access_log=None, max_line_size=MAX_LINE, max_field_size=MAX_LINE)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
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
        metrics, begun = self._shared.metrics, perf_counter()
        labels = request_labels(request.method, request.path)
        metrics.requests.add(labels)
        metrics.requests_in_flight.add(labels)
        try:
            return await self._answer(request)
        finally:
            metrics.requests_in_flight.add(labels, -1)
            metrics.request_durations.observe(labels, perf_counter() - begun)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        handler = self._routes.get(parts[0]) if parts else None
        try:
            await self._authorize(request, parts)
            if handler is None:
                raise Refused(404, "404 page not found\n")
            if request.method not in ALLOWED.get(parts[0], METHODS):
                raise Refused(405, "405: Method Not Allowed")
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
        verb = VERBS.get(request.method, "get")
        user_name, subresources = user, SUBRESOURCES.get(parts[0] if parts else "", ("proxy",))
        for subresource in subresources:
            asked = AccessRequest(
                node=self._shared.config.node_name,
                verb=verb,
                subresource=subresource,
                path=request.path,
                token=token,
                user=user,
                groups=groups,
            )
            decision = await self._access.decide(asked)
            if decision.is_allowed:
                return
            user_name = decision.user
        names = " ".join(subresources)
        raise Refused(
            403, f"Forbidden (user={user_name}, verb={verb}, resource=nodes, subresource(s)=[{names}])\n"
        )

    async def _healthz(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if rest and (len(rest) > 1 or rest[0] not in CHECKS):
            raise Refused(404, "404 page not found\n")
        for name in rest or CHECKS:
            self._shared.metrics.checked(name)
        if rest or "verbose" not in request.query:
            return web.Response(text="ok")
        return web.Response(text="".join(f"[+]{name} ok\n" for name in CHECKS) + "healthz check passed\n")

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
        items = [running_pod(pod) for pod in self._own_pods() if pod["metadata"]["uid"] in live]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _logs(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        options = log_options(request.query, self._shared.clock.now())
        previous = asked(request.query, "previous")
        id, kept = kept_log(self._shared.config, pod, name, previous=previous)
        view = self._shared.view
        if not kept or view.of(uid_of(pod)).by_name().get(name):
            run = picked_run(self._shared, pod, name, previous=previous)
            id, kept = run.id, run.log_path
        if lost := await asyncio.to_thread(why_no_log, kept, id):
            return web.Response(text=lost)  # a kubelet says it in the log's place

        def is_running() -> bool:
            found = view.find(id)
            return found is not None and found.state == "running"

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for piece in read_log(Path(kept), options, is_running):
                await response.write(piece)
        except ConnectionError:
            return response  # the client has seen enough
        return response

    async def _checkpoint(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if request.method != "POST" or len(rest) != 3:
            raise Refused(404, "404 page not found\n")
        find_container(self._shared, rest)
        raise Refused(404, "checkpointing is not supported by this node\n")

    async def _node_logs(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        root = self._shared.config.system_logs
        if root is None:
            raise Refused(405, "logs endpoint is disabled.\n")
        return await node_logs(request, root, request.path.partition("logs")[2])

    async def _run(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        pod, name = find_container(self._shared, rest)
        run = picked_run(self._shared, pod, name, running=True)
        command = request.query.get("cmd", "").split() or request.query.getall("command", [])
        result = await self._shared.runtime.streams.exec_sync(run.id, command, EXEC_LIMIT)
        return web.Response(body=result.stdout + result.stderr, content_type="text/plain")


def request_labels(method: str, path: str) -> tuple[str, str, str, str]:
    """How a request is counted: (long_running, method, path, server_type); what is unknown is `other`."""
    parts = path.strip("/").split("/")
    root = "/".join(parts[:2]) if parts[0] == "metrics" else parts[0]
    known = root if root in COUNTED else "other"
    long_running = "true" if known in ("exec", "attach", "portforward", "debug") else "false"
    return long_running, method if method in METHODS else "other", known, "readwrite"


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


def _json(obj: Any) -> web.Response:
    return web.Response(body=orjson.dumps(obj), content_type="application/json")
