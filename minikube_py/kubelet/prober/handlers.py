"""The actions of probes and lifecycle hooks: an HTTP request, a TCP connection, a gRPC health check, a command.

Each returns an `Answer`; none raises for what the container does. An HTTP request has a connection of its own,
which closes with the answer. HTTPS certificates are not verified, as Kubernetes documents.
"""

import asyncio
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from socket import gaierror
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from minikube_py.aio.clock import Clock, within
from minikube_py.kubelet.kuberuntime.environment import quoted
from minikube_py.kubelet.prober.exchange import (
    BODY_LIMIT,
    BodyLost,
    HttpAnswer,
    Progress,
    endpoint,
    exchange,
)
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import RuntimeFailed, Streams
from minikube_py.runtime.health import Health, check

USER_AGENT = "kube-probe/1.34"
MAX_REDIRECTS = 10
LATE, IN_BODY = "context deadline exceeded", "or context cancellation while reading body"
REDIRECTS = frozenset((301, 302, 303, 307, 308))
NOT_SENT = frozenset(("Host", "Content-Length", "Transfer-Encoding", "Trailer"))
"""Headers that are not the prober's to add to the request's own."""
URL_SAFE = "%/?&=+,;:@!$'()*~[]"
"""What stands in a path and its query as it is, besides letters, digits and `_.-`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the action succeeded, and what it said. `known` is False where it could not even be tried, or its
    answer broke off (`broken`), `doubtful` where a success is worth a warning."""

    ok: bool
    message: str = ""
    known: bool = True
    doubtful: bool = False
    broken: bool = False


Headers = tuple[tuple[str, str], ...]
"""Names in Go's spelling, such as X-Asked, with values; a name may come more than once."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One GET. `path` has the query, and stands in the request as it is."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    headers: Headers = ()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{endpoint(self.host, self.port)}{self.path}"


class GetFailed(Exception):
    """A request without an answer, in Go's words. `is_plain`: HTTPS was asked for where HTTP is spoken."""

    def __init__(self, url: str, why: str, *, is_plain: bool = False) -> None:
        super().__init__(f'Get "{url}": {why}')
        self.is_plain = is_plain


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
    raise ValueError(f'strconv.Atoi: parsing "{value}": invalid syntax')  # what kubelets say of an unknown name


def http_request(action: Obj, container: Obj, ip: str, agent: str = USER_AGENT) -> HttpRequest:
    """The request that an httpGet action stands for. Errors: ValueError."""
    given = [(_spelled(entry["name"]), entry.get("value", "")) for entry in action.get("httpHeaders") or ()]
    usual = {"User-Agent": agent, "Accept": "*/*"}
    names = {name for name, _ in given}
    headers = [(name, value) for name, value in usual.items() if name not in names]
    headers += [(name, value) for name, value in given if value or name not in usual]
    path = (action.get("path") or "/").partition("#")[0]
    return HttpRequest(
        (action.get("scheme") or "HTTP").lower(),
        action.get("host") or ip,
        port_of(action["port"], container),
        quote(path if path.startswith("/") else f"/{path}", safe=URL_SAFE),
        tuple(headers),
    )


def _spelled(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


@lru_cache(1024)
def question(request: HttpRequest) -> bytes:
    """A request as it is sent."""
    host = next((value for name, value in request.headers if name == "Host" and value), "")
    lines = [f"GET {request.path} HTTP/1.1", f"Host: {host or endpoint(request.host, request.port)}"]
    lines += [f"{name}: {value}" for name, value in request.headers if name not in NOT_SENT]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1", "replace")


async def fetch(request: HttpRequest, progress: Progress) -> HttpAnswer:
    """One request, without following redirects. Errors: OSError, ValueError, BodyLost."""
    tls = _unverified() if request.scheme == "https" else None
    return await exchange(question(request), request.host, request.port, tls, progress)


async def follow(request: HttpRequest, progress: Progress | None = None) -> HttpAnswer:
    """The answer to a request, redirects on the same host followed; `progress` is of the latest one.
    Errors: GetFailed, BodyLost."""
    progress = progress or Progress()
    for _ in range(MAX_REDIRECTS):
        progress.has_head = False
        try:
            answer = await fetch(request, progress)
        except (OSError, ValueError) as error:
            is_plain = isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER"
            why = reason_of(error, request.host, request.port)
            raise GetFailed(request.url, why, is_plain=is_plain) from error
        if answer.status not in REDIRECTS or not answer.location:
            return answer
        try:
            target = urlsplit(urljoin(request.url, answer.location))
            if target.hostname != request.host.lower():
                return answer
            request = _redirected(request, target, is_absolute=bool(urlsplit(answer.location).netloc))
        except ValueError as error:
            url = quoted(answer.location)
            fault = "missing ']' in host" if "IPv6" in str(error) else f"invalid port: {error}"
            why = f"failed to parse Location header {url}: parse {url}: {fault}"
            raise GetFailed(request.url, why) from error
    raise GetFailed(answer.location, f"stopped after {MAX_REDIRECTS} redirects")


def _redirected(request: HttpRequest, target: SplitResult, *, is_absolute: bool) -> HttpRequest:
    """The request that a redirect asks for; a Host of the probe's own is for what stays on the server."""
    headers = request.headers
    if is_absolute:
        headers = tuple((name, value) for name, value in headers if name != "Host")
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    port = target.port or (443 if target.scheme == "https" else 80)
    return HttpRequest(target.scheme, request.host, port, path, headers)


async def http_get(request: HttpRequest, progress: Progress | None = None) -> Answer:
    """200 to 399 succeed; redirects are followed on the same host. An answer that breaks off says nothing of
    the container."""
    try:
        answer = await follow(request, progress)
    except GetFailed as failure:
        return Answer(False, str(failure))
    except BodyLost as lost:
        return Answer(False, str(lost), known=False, broken=True)
    if 300 <= answer.status < 400:
        return Answer(True, f"Probe terminated redirects, Response body: {answer.body}", doubtful=True)
    if 200 <= answer.status < 300:
        return Answer(True)
    return Answer(False, f"HTTP probe failed with statuscode: {answer.status}")


def reason_of(error: Exception, host: str, port: int) -> str:
    """Why nothing came of a connection, in Go's words."""
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "http: server gave HTTP response to HTTPS client"
        return f"tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, OSError) and error.errno:
        return f"dial tcp {endpoint(host, port)}: connect: {os.strerror(error.errno).lower()}"
    if isinstance(error, ConnectionResetError):
        return "EOF"
    return str(error) or repr(error)


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
        return Answer(False, error.decorated, known=False)
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
        address = endpoint(target.ip, int(grpc["port"]))
        health = await check(address, grpc.get("service") or "", timeout, USER_AGENT)
        return grpc_answer(health, address, timeout)
    try:
        if request := action.get("httpGet"):
            get, progress = http_request(request, target.spec, target.ip), Progress()
            try:
                return await within(target.clock, timeout, http_get(get, progress))
            except TimeoutError:
                if progress.has_head:
                    return Answer(False, f"{LATE} (Client.Timeout {IN_BODY})", known=False, broken=True)
                return Answer(
                    False, f'Get "{get.url}": {LATE} (Client.Timeout exceeded while awaiting headers)'
                )
        if socket := action.get("tcpSocket"):
            host, port = socket.get("host") or target.ip, port_of(socket["port"], target.spec)
            try:
                return await within(target.clock, timeout, tcp_connect(host, port))
            except TimeoutError:
                return Answer(False, f"dial tcp {endpoint(host, port)}: i/o timeout")
    except ValueError as error:
        return Answer(False, str(error), known=False)
    return Answer(False, f"the action {', '.join(action)} is not supported by this node")
