"""A real HTTPS server of admission webhooks: answers by path, and notes the reviews it was sent."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from api_certificates import Authority

Obj = dict[str, Any]
Answer = Callable[[Obj], Obj]
"""From a review's request to its response, without the uid."""


def allow(request: Obj) -> Obj:
    """Let everything pass."""
    return {"allowed": True}


def deny(message: str = "no", **status: Any) -> Answer:
    """Refuse everything."""
    return lambda request: {"allowed": False, "status": {"message": message, **status}}


def patch(*operations: Obj) -> Answer:
    """Change every object."""
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": text}


@dataclass
class Webhooks:
    """The server: `answers` by path; the requests it was sent by path, and the last headers and query."""

    host: str
    port: int
    bundle: str
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: dict[str, list[Obj]] = field(default_factory=dict)
    reviews: list[Obj] = field(default_factory=list)
    requests: list[web.BaseRequest] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    def url(self, path: str) -> Obj:
        """The client config of a webhook at `path`."""
        return {"url": f"https://{self.host}:{self.port}{path}", "caBundle": self.bundle}

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.connections.add(request.transport)
        review = json.loads(await request.read())
        self.reviews.append(review)
        asked = review["request"]
        self.seen.setdefault(request.path, []).append(asked)
        if request.path == "/slow":
            await asyncio.sleep(30)
        if request.path == "/broken":
            return web.Response(status=500, text="boom")
        if request.path == "/redirect":
            return web.Response(status=302, headers={"Location": "/allow"})
        answer = self.answers.get(request.path, allow)(asked)
        response = {"uid": asked["uid"], **answer}
        body = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response}
        return web.json_response({**body, **answer.pop("review", {})})


def certificate(authority: Authority, *names: str) -> ssl.SSLContext:
    """A server's TLS context for DNS names and addresses."""
    pair = authority.issue("server", addresses=names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@asynccontextmanager
async def serving(folder: Path, host: str = "127.0.0.1", *names: str) -> AsyncIterator[Webhooks]:
    """A running server at `host`, whose certificate also has `names`."""
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    bundle = base64.b64encode(authority.path.read_bytes()).decode()
    made = Webhooks(host, 0, bundle)
    server = web.Server(made.serve, access_log=None, handler_cancellation=True)
    tls = certificate(authority, host, *names)
    listener = await asyncio.get_running_loop().create_server(server, host, 0, ssl=tls)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    await server.shutdown(0.1)
