"""The actions of probes and lifecycle hooks: an HTTP request, a TCP connection, a gRPC health check, a command.

Each returns an `Answer`; none raises for what the container does. An HTTP request has a connection of its own,
which closes with the answer. HTTPS certificates are not verified, as Kubernetes documents.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urljoin, urlsplit

from minikube_py.aio.clock import Clock, within
from minikube_py.kubelet.prober.exchange import BODY_LIMIT, HttpAnswer, exchange
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import RuntimeFailed, Streams
from minikube_py.runtime.health import Health, check

USER_AGENT = "kube-probe/1.34"
MAX_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the action succeeded, and what it said. `known` is False where it could not even be tried,
    `doubtful` where a success is worth a warning."""

    ok: bool
    message: str = ""
    known: bool = True
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One GET."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def port_of(value: int | str, container: Obj) -> int:
    """A port by number or by its name in the container's spec. Errors: ValueError."""
    if isinstance(value, int):
        return value
    for port in container.get("ports") or ():
        if port.get("name") == value:
            return int(port["containerPort"])
    if value.isdigit():
        return int(value)
    raise ValueError(f"couldn't find port: {value}")


def http_request(action: Obj, container: Obj, ip: str) -> HttpRequest:
    """The request that an httpGet action stands for. Errors: ValueError."""
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    headers |= {entry["name"]: entry.get("value", "") for entry in action.get("httpHeaders") or ()}
    path = action.get("path") or "/"
    return HttpRequest(
        (action.get("scheme") or "HTTP").lower(),
        action.get("host") or ip,
        port_of(action["port"], container),
        path if path.startswith("/") else f"/{path}",
        headers,
    )


async def fetch(request: HttpRequest) -> HttpAnswer:
    """One request, without following redirects. Errors: OSError, ValueError."""
    names = {name.lower() for name in request.headers}
    host = f"[{request.host}]" if ":" in request.host else request.host
    lines = [f"GET {request.path} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {host}:{request.port}")
    lines += [f"{name}: {value}" for name, value in request.headers.items() if value]
    asked = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1", "replace")
    tls = _unverified() if request.scheme == "https" else None
    return await exchange(asked, request.host, request.port, tls)


async def http_get(request: HttpRequest) -> Answer:
    """200 to 399 succeed; redirects are followed on the same host."""
    for _ in range(MAX_REDIRECTS):
        try:
            answer = await fetch(request)
        except (OSError, ValueError) as error:
            return Answer(False, f'Get "{request.url}": {reason_of(error, request.host, request.port)}')
        if not (300 <= answer.status < 400 and answer.location):
            break
        target = urlsplit(urljoin(request.url, answer.location))
        if target.hostname != request.host:
            return Answer(True, f"Probe terminated redirects, Response body: {answer.body}", doubtful=True)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        port = target.port or (443 if target.scheme == "https" else 80)
        request = HttpRequest(target.scheme, request.host, port, path, request.headers)
    else:
        return Answer(False, f"stopped after {MAX_REDIRECTS} redirects")
    if 300 <= answer.status < 400:
        return Answer(True, f"Probe terminated redirects, Response body: {answer.body}", doubtful=True)
    if 200 <= answer.status < 300:
        return Answer(True)
    return Answer(False, f"HTTP probe failed with statuscode: {answer.status}")


def reason_of(error: Exception, host: str, port: int) -> str:
    """A failed connection in Go's words."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {_endpoint(host, port)}: connect: connection refused"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {_endpoint(host, port)}: {error.strerror.lower()}"
    return str(error) or repr(error)


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def tcp_connect(host: str, port: int) -> Answer:
    """Whether something accepts connections there."""
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
    except OSError as error:
        return Answer(False, reason_of(error, host, port))
    transport.close()
    return Answer(True)


def grpc_answer(health: Health, address: str, timeout: float) -> Answer:
    """What a health check means, in Kubernetes' words."""
    if health.status == "SERVING":
        return Answer(True, "service healthy")
    if health.status:
        return Answer(False, f'service unhealthy (responded with "{health.status}")')
    match health.code:
        case "":
            why = f'failed to connect service "{address}" within {timeout:g}s: context deadline exceeded'
            return Answer(False, f"timeout: {why}")
        case "UNIMPLEMENTED":
            protocol = "the grpc health protocol (grpc.health.v1.Health)"
            return Answer(False, f"error: this server does not implement {protocol}: {health.message}")
        case "DEADLINE_EXCEEDED":
            return Answer(False, f"timeout: health rpc did not complete within {timeout:g}s")
        case code:
            name = "".join(word.capitalize() for word in code.split("_"))
            told = f"rpc error: code = {name} desc = {health.message}"
            return Answer(False, f"error: health rpc probe failed: {told}")


async def execute(streams: Streams, id: str, command: Sequence[str], timeout: float) -> Answer:
    """Whether the command exits with 0 within `timeout` seconds (0: no limit)."""
    try:
        result = await streams.exec_sync(id, command, timeout)
    except TimeoutError:
        text = " ".join(command)
        return Answer(False, f'command timed out: "{text}" timed out after {timeout:g}s')
    except RuntimeFailed as error:
        return Answer(False, str(error), known=False)
    output = (result.stdout + result.stderr).decode(errors="replace")
    return Answer(result.exit_code == 0, output[:BODY_LIMIT])


@dataclass(frozen=True, slots=True)
class Target:
    """The running container that an action is about."""

    id: str
    spec: Obj
    ip: str
    streams: Streams
    clock: Clock


async def act(action: Obj, target: Target, timeout: float) -> Answer:
    """Run a probe's action (exec, httpGet, tcpSocket, grpc) within `timeout` seconds."""
    if "exec" in action:
        return await execute(target.streams, target.id, action["exec"].get("command") or [], timeout)
    if grpc := action.get("grpc"):
        address = _endpoint(target.ip, int(grpc["port"]))
        health = await check(address, grpc.get("service") or "", timeout, USER_AGENT)
        return grpc_answer(health, address, timeout)
    try:
        if request := action.get("httpGet"):
            get = http_request(request, target.spec, target.ip)
            try:
                return await within(target.clock, timeout, http_get(get))
            except TimeoutError:
                why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                return Answer(False, f'Get "{get.url}": {why}')
        if socket := action.get("tcpSocket"):
            host, port = socket.get("host") or target.ip, port_of(socket["port"], target.spec)
            try:
                return await within(target.clock, timeout, tcp_connect(host, port))
            except TimeoutError:
                return Answer(False, f"dial tcp {_endpoint(host, port)}: i/o timeout")
    except ValueError as error:
        return Answer(False, str(error), known=False)
    return Answer(False, f"the action {', '.join(action)} is not supported by this node")
