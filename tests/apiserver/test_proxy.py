"""The proxy subresource of pods, services and nodes, against a real HTTP server in a pod's place."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from api_cluster import Client, Cluster, Kubectl
from machine_address import machine_address

from minikube_py.apiserver.rewriting import Rewriting

Obj = dict[str, Any]
NAMESPACE = "/api/v1/namespaces/default"
POD = f"{NAMESPACE}/pods/web/proxy"
SERVICE = f"{NAMESPACE}/services"
PAGE = b'<html><a href="/next?a=1">n</a><img src="pic.png"><script>"<a href=\'/raw\'>"</script></html>'


class Backend:
    """What runs in the pod: tells what it was asked, by path."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = 0
        self.requests: list[web.BaseRequest] = []

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        path = request.path
        if path == "/page":
            return web.Response(body=PAGE, content_type="text/html")
        if path == "/packed":
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Encoding": "gzip"}
            return web.Response(body=gzip.compress(PAGE), headers=headers)
        if path == "/redirect":
            return web.Response(status=302, headers={"Location": f"http://{self.host}:{self.port}/there?x=1"})
        if path == "/cors":
            return web.Response(text="x", headers={"Access-Control-Allow-Origin": "*", "X-Own": "1"})
        if path == "/socket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"{message.data}!")
            return socket
        body = (await request.read()).decode()
        return web.Response(text=f"{request.method} {request.raw_path} {body}")


@pytest.fixture
async def backend(cluster: Cluster, admin: Client) -> AsyncIterator[Backend]:
    """The server, the pod `web` at its address, and the Service `web` before it (port 80, named http)."""
    made = Backend(machine_address())
    server = web.Server(made.serve, access_log=None, handler_cancellation=True)
    listener = await asyncio.get_running_loop().create_server(server, made.host, 0)
    made.port = listener.sockets[0].getsockname()[1]
    await admin.post(f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    ports = [{"containerPort": made.port, "name": "web"}]
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i", "ports": ports}]}}
    assert (await admin.post(f"{NAMESPACE}/pods", pod)).code == 201
    status = {"status": {"podIP": made.host, "podIPs": [{"ip": made.host}]}}
    merge = "application/merge-patch+json"
    assert (await admin.call("PATCH", f"{NAMESPACE}/pods/web/status", status, type=merge)).code == 200
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}}
    assert (await admin.post(SERVICE, service)).code == 201
    await expose(admin, made, {"kind": "Pod", "name": "web", "namespace": "default"})
    yield made
    listener.close()
    await server.shutdown(0.1)


async def expose(admin: Client, backend: Backend, target: Obj | None, service: str = "web") -> None:
    """Create an EndpointSlice of `service`."""
    endpoint = {"addresses": [backend.host], "conditions": {"ready": True}}
    slice = {
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [endpoint | ({"targetRef": target} if target else {})],
        "ports": [{"name": "http", "port": backend.port, "protocol": "TCP"}],
    }
    made = await admin.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice)
    assert made.code == 201, made.body


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_methods(admin: Client, backend: Backend, method: str) -> None:
    """Every method, path, query and body arrives as it was sent."""
    answer = await admin.call(method, f"{POD}/a%2Fb/c?q=1%202&q=3", b"body" if method != "GET" else None)
    body = "body" if method != "GET" else ""
    assert (answer.code, answer.body) == (200, f"{method} /a%2Fb/c?q=1%202&q=3 {body}")


async def test_head(admin: Client, backend: Backend) -> None:
    """HEAD has the headers without the body."""
    async with admin.request("HEAD", f"{POD}/x") as response:
        found = (response.status, response.headers["Content-Length"], await response.read())
    assert found == (200, "8", b"")


@pytest.mark.parametrize(
    "target", ["services/web", "services/web:http", "services/web:80", "services/http:web:80", "pods/web:web"]
)
async def test_names(admin: Client, backend: Backend, target: str) -> None:
    """A target is named with its port by name or number, and its scheme."""
    answer = await admin.get(f"{NAMESPACE}/{target}/proxy/x")
    assert (answer.code, answer.body) == (200, "GET /x ")


@pytest.mark.parametrize(
    "target, code, message",
    [
        ("services/none", 404, 'services "none" not found'),
        ("services/web:81", 503, 'no service port "81" found for service "web"'),
        ("services/a:b:c:d", 400, 'invalid service request "a:b:c:d"'),
        ("services/ftp:web:80", 400, 'invalid service request "ftp:web:80"'),
        ("pods/x:y:z:1", 400, 'invalid pod request "x:y:z:1"'),
        ("pods/none", 404, 'pods "none" not found'),
    ],
)
async def test_wrong_targets(admin: Client, backend: Backend, target: str, code: int, message: str) -> None:
    """What cannot be reached is told in Kubernetes' words."""
    answer = await admin.get(f"{NAMESPACE}/{target}/proxy/")
    assert (answer.code, answer["message"]) == (code, message)


async def test_only_pods_behind_services(admin: Client, backend: Backend) -> None:
    """An endpoint that is no pod of that address is never proxied to."""
    for name, target in (("bare", None), ("false", {"kind": "Pod", "name": "other", "namespace": "default"})):
        service = {"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80}]}}
        await admin.post(SERVICE, service)
        await expose(admin, backend, target, name)
        answer = await admin.get(f"{SERVICE}/{name}/proxy/")
        assert (answer.code, answer["message"]) == (503, f'no endpoints available for service "{name}"')
    assert backend.requests == []


async def test_trailing_slash(admin: Client, backend: Backend) -> None:
    """The proxy's root is redirected to its path with a slash; other methods are not."""
    async with admin.request("GET", f"{POD}?a=1", allow_redirects=False) as response:
        found = (response.status, response.headers["Location"])
    posted = await admin.call("POST", POD, b"x")
    assert (found, posted.body) == ((301, f"{POD}/?a=1"), "POST / x")


async def test_unreachable(admin: Client, backend: Backend) -> None:
    """A pod that does not listen is service unavailable, with the reason."""
    answer = await admin.get(f"{NAMESPACE}/pods/web:1/proxy/")
    why = f"error trying to reach service: dial tcp {backend.host}:1: connect: connection refused"
    assert (answer.code, answer["reason"], answer["message"]) == (503, "ServiceUnavailable", why)


@pytest.mark.parametrize("path", ["page", "packed"])
async def test_pages_are_rewritten(admin: Client, backend: Backend, path: str) -> None:
    """Links of a page lead back through the proxy; scripts and relative links stay."""
    answer = await admin.get(f"{POD}/{path}")
    assert answer.body == PAGE.decode().replace('"/next', f'"{POD}/next')


async def test_redirects_are_rewritten(admin: Client, backend: Backend) -> None:
    """A redirect to the backend itself leads back through the proxy, and is not followed here."""
    async with admin.request("GET", f"{POD}/redirect", allow_redirects=False) as response:
        found = (response.status, response.headers["Location"])
    assert (found, len(backend.requests)) == ((302, f"{POD}/there?x=1"), 1)


async def test_headers(admin: Client, backend: Backend) -> None:
    """The backend learns where it is served, but no credentials; clients learn no CORS rules."""
    answer = await admin.get(f"{POD}/cors", Authorization="Bearer x", Impersonate_X="y")
    sent = backend.requests[0].headers
    assert (answer.headers.get("Access-Control-Allow-Origin"), answer.headers["X-Own"]) == (None, "1")
    assert sent["X-Forwarded-Uri"] == f"{POD}/cors"
    assert sent["X-Forwarded-For"] == "127.0.0.1"
    assert "Authorization" not in sent


async def test_websocket(admin: Client, backend: Backend) -> None:
    """A WebSocket passes through the proxy of a service."""
    url = f"{admin.server}{SERVICE}/web:80/proxy/socket"
    async with admin.session.ws_connect(url, ssl=admin.tls) as socket:
        await socket.send_str("hello")
        message = await socket.receive()
    assert (message.type, message.data) == (aiohttp.WSMsgType.TEXT, "hello!")


async def test_kubectl_raw(kubectl: Kubectl, backend: Backend) -> None:
    """kubectl reaches a service through the proxy."""
    found = await kubectl("get", "--raw", f"{SERVICE}/web:http/proxy/x?y=z")
    assert found.stdout == "GET /x?y=z "


async def test_weak_user(cluster: Cluster, backend: Backend) -> None:
    """Who may not use the proxy reaches nothing."""
    answer = await cluster.client("bob").get(f"{POD}/x")
    assert (answer.code, backend.requests) == (403, [])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1"]
)
async def test_addresses_that_no_pod_has(admin: Client, address: str) -> None:
    """A pod that claims an address of the machine's own is not proxied to."""
    await admin.post(f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "evil"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await admin.post(f"{NAMESPACE}/pods", pod)
    status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    await admin.call("PATCH", f"{NAMESPACE}/pods/evil/status", status, type="application/merge-patch+json")
    answer = await admin.get(f"{NAMESPACE}/pods/evil/proxy/")
    assert (answer.code, answer["message"]) == (400, "address not allowed")


REWRITING = Rewriting("/api/proxy", ("10.0.0.1:80",))


@pytest.mark.parametrize(
    "link, made",
    [
        ("/a", "/api/proxy/a"),
        ("/a/", "/api/proxy/a/"),
        ("/", "/api/proxy/"),
        ("/a?b=/c#d", "/api/proxy/a?b=/c#d"),
        ("a/b", "a/b"),
        ("?x", "?x"),
        ("#x", "#x"),
        ("http://10.0.0.1:80/a", "/api/proxy/a"),
        ("https://elsewhere/a", "https://elsewhere/a"),
        ("//elsewhere/a", "//elsewhere/a"),
        ("/api/proxy/a", "/api/proxy/a"),
        ("http://[bad", "http://[bad"),
        ("javascript:void(0)", "javascript:void(0)"),
    ],
)
def test_links(link: str, made: str) -> None:
    """Absolute paths and links to the backend get the prefix."""
    assert REWRITING.link(link) == made


@pytest.mark.parametrize(
    "page, made",
    [
        ("<A HREF='/x' class=c>", '<A HREF="/api/proxy/x" class=c>'),
        ("<a href=/x>", '<a href="/api/proxy/x">'),
        ('<img src="/i.png"/>', '<img src="/api/proxy/i.png"/>'),
        ('<a href="/x?a=1&amp;b=2">', '<a href="/api/proxy/x?a=1&amp;b=2">'),
        ('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'),
        ("<style>a[href='/x'] {}</style>", "<style>a[href='/x'] {}</style>"),
        ('<p data-href="/x">', '<p data-href="/x">'),
        ('<form action="/f"><input src="/s">', '<form action="/api/proxy/f"><input src="/api/proxy/s">'),
        ("a < b > c", "a < b > c"),
    ],
)
def test_pages(page: str, made: str) -> None:
    """Only the attributes that hold links are rewritten."""
    assert REWRITING.page(page.encode()).decode() == made


def test_page_that_is_not_packed() -> None:
    """A page that is not what its Content-Encoding says is refused."""
    with pytest.raises(ValueError, match="the page is not gzip"):
        REWRITING.page(b"plain", "gzip")
