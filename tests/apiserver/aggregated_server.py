"""A small aggregated API server: group wardle.example.com, resource flunders, as public documents describe one.

It serves discovery, OpenAPI v2 and v3, and flunders by create, get, list, watch and delete; it believes the
X-Remote-* headers of whoever presents a client certificate of the front-proxy CA.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from api_certificates import Authority

Obj = dict[str, Any]
GROUP, VERSION = "wardle.example.com", "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"
SCHEMA = {
    "type": "object",
    "description": "Flunder is a thing",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {"reference": {"type": "string", "description": "What it is"}},
        },
    },
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "Flunder"}],
}
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {
            "name": "flunders",
            "singularName": "flunder",
            "namespaced": True,
            "kind": "Flunder",
            "verbs": ["create", "delete", "get", "list", "watch"],
            "shortNames": ["fl"],
        },
        {
            "name": "flunders/status",
            "singularName": "",
            "namespaced": True,
            "kind": "Flunder",
            "verbs": ["get"],
        },
    ],
}
PATHS = {
    f"{ROOT}/namespaces/{{namespace}}/flunders": {
        "get": {
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "list",
            "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": "Flunder"},
        }
    }
}
NAME = "com.example.wardle.v1alpha1.Flunder"


@dataclass
class Aggregated:
    """The server, what it holds, and the requests that it was sent."""

    host: str
    port: int = 0
    status: int = 200
    objects: dict[str, Obj] = field(default_factory=dict)
    requests: list[web.BaseRequest] = field(default_factory=list)
    certificates: list[Any] = field(default_factory=list)
    watchers: list[asyncio.Queue[Obj]] = field(default_factory=list)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        self.certificates.append(tls.getpeercert() if tls else None)
        if self.status != 200:
            return web.Response(status=self.status)
        path = request.path
        if path == ROOT:
            return web.json_response(RESOURCES)
        if path == "/openapi/v2":
            return self._v2(request)
        if path == "/openapi/v3":
            index = {ROOT[1:]: {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}}
            return web.json_response({"paths": index}, headers={"ETag": '"i"'})
        if path == f"/openapi/v3{ROOT}":
            components = {"schemas": {NAME: SCHEMA}}
            body = {"openapi": "3.0.0", "info": {"title": "w", "version": "1"}, "paths": PATHS}
            return web.json_response({**body, "components": components})
        if path == f"{ROOT}/redirect/x":
            return web.Response(status=302, headers={"Location": "https://169.254.169.254/"})
        if path.endswith("/a/b/socket"):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str(",".join(request.headers.getall("X-Remote-User")))
            await socket.close()
            return socket
        if path.startswith(f"{ROOT}/namespaces/default/flunders"):
            return await self._flunders(
                request, path.removeprefix(f"{ROOT}/namespaces/default/flunders").strip("/")
            )
        return web.Response(status=404)

    def _v2(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("If-None-Match") == '"v2"':
            return web.Response(status=304)
        paths = {f"{ROOT}/": {"get": {"responses": {"200": {"description": "OK"}}}}, "/apis/other/v1/": {}}
        body = {"swagger": "2.0", "info": {"title": "w", "version": "1"}, "paths": paths}
        return web.json_response({**body, "definitions": {NAME: SCHEMA}}, headers={"ETag": '"v2"'})

    async def _flunders(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        if request.method == "POST":
            made = json.loads(await request.read())
            made["metadata"] |= {
                "namespace": "default",
                "uid": "u",
                "resourceVersion": str(len(self.objects) + 1),
            }
            self.objects[made["metadata"]["name"]] = made
            for watcher in self.watchers:
                watcher.put_nowait({"type": "ADDED", "object": made})
            return web.json_response(made, status=201)
        if name:
            found = self.objects.get(name)
            if found is None:
                return web.json_response(self._missing(name), status=404)
            if request.method == "DELETE":
                del self.objects[name]
            return web.json_response(found)
        if request.query.get("watch"):
            return await self._watch(request)
        head = {"kind": "FlunderList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"resourceVersion": "1"}}
        return web.json_response({**head, "items": list(self.objects.values())})

    def _missing(self, name: str) -> Obj:
        message = f'flunders.{GROUP} "{name}" not found'
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404}
        return {**head, "message": message, "reason": "NotFound"}

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[Obj] = asyncio.Queue()
        self.watchers.append(queue)
        try:
            while True:
                event = await queue.get()
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watchers.remove(queue)


@asynccontextmanager
async def aggregated(authority: Authority, front_proxy_ca: str, host: str) -> AsyncIterator[Aggregated]:
    """A running server with a certificate for the Service `wardle` in the namespace `default`."""
    made = Aggregated(host)
    pair = authority.issue("wardle", addresses=("wardle.default.svc",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(front_proxy_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = web.Server(made.serve, access_log=None, handler_cancellation=True)
    listener = await asyncio.get_running_loop().create_server(server, host, 0, ssl=context)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    await server.shutdown(0.1)
