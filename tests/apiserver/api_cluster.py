"""A real API server on loopback TLS, raw clients of several users, and kubectl: what the tests share."""

import asyncio
import io
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from api_certificates import Authority, Pair, new_key
from yarl import URL

from minikube_py import collect
from minikube_py.aio.clock import SystemClock
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.server import ApiServer
from minikube_py.apiserver.tokens import ServiceAccountTokens
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import ClusterFacts
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry
from minikube_py.store.memory import MemoryStore


@dataclass
class Answer:
    """A response: HTTP code, headers, and the body as JSON where it is."""

    code: int
    headers: Any
    body: Any

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


class Client:
    """Raw HTTPS requests as one user."""

    def __init__(self, session: aiohttp.ClientSession, server: str, tls: ssl.SSLContext) -> None:
        self.session, self.server, self.tls = session, server, tls

    def request(self, method: str, path: str, **more: Any) -> Any:
        """An aiohttp request (to be used as a context manager); the path is sent as it stands."""
        return self.session.request(method, URL(self.server + path, encoded=True), ssl=self.tls, **more)

    async def call(
        self, method: str, path: str, body: Any = None, *, type: str = "application/json", **headers: str
    ) -> Answer:
        """One request; `body` is JSON unless it is bytes. Header names have _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", type)
        sent_body = io.BytesIO(data) if data is not None else None
        async with self.request(method, path, data=sent_body, headers=sent) as response:
            content = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "") and content
            return Answer(
                response.status, response.headers, json.loads(content) if is_json else content.decode()
            )

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.call("POST", path, body, **headers)


@dataclass
class Cluster:
    """A running API server and what it was made of."""

    registry: Registry
    server: ApiServer
    authority: Authority
    folder: Path
    url: str
    session: aiohttp.ClientSession
    pairs: dict[str, Pair] = field(default_factory=dict)

    def tls(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A client's TLS context, with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def client(self, user: str = "", *groups: str) -> Client:
        """A client with the certificate of `user`, or without credentials."""
        pair = self.authority.issue(user, *groups) if user else None
        return Client(self.session, self.url, self.tls(pair))

    def kubeconfig(self, user: str, *groups: str) -> Path:
        """A kubeconfig file for `user`."""
        pair = self.authority.issue(user, *groups)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self.authority.path)},
                }
            ],
            "users": [
                {
                    "name": "test",
                    "user": {"client-certificate": str(pair.certificate), "client-key": str(pair.key)},
                }
            ],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path = self.folder / f"{user}.kubeconfig"
        path.write_text(json.dumps(config))
        return path


async def start(
    folder: Path, *, kinds: tuple[Kind, ...] = (), **more: Any
) -> tuple[Cluster, asyncio.Task[None]]:
    """An API server over a memory store, and the task that runs it."""
    authority = Authority(folder)
    pair = authority.issue("kube-apiserver", addresses=("127.0.0.1",))
    key = folder / "sa.key"
    key.write_bytes(new_key())
    clock = SystemClock()
    facts = ClusterFacts(root_ca=authority.path.read_text())
    catalogue = Catalogue([*collect.values("minikube_py.kinds", Kind), *kinds])
    registry = Registry(MemoryStore(), catalogue, facts, clock, ServiceAccountTokens.load(key))
    kubelet = authority.issue("kube-apiserver-kubelet-client", "system:masters")
    config = ApiServerConfig(
        listen=(("127.0.0.1", 0),),
        certificate=pair.certificate,
        key=pair.key,
        client_ca=authority.path,
        service_account_key=key,
        kubelet_client_certificate=kubelet.certificate,
        kubelet_client_key=kubelet.key,
        facts=facts,
        advertise=("10.244.0.1", 8443),
        **more,
    )
    server = ApiServer(registry, config, clock)
    ready = asyncio.Event()
    task = asyncio.create_task(server.run(ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        task.result()
    host, port = server.addresses[0]
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    return Cluster(registry, server, authority, folder, f"https://{host}:{port}", session), task


async def stop(cluster: Cluster, task: asyncio.Task[None]) -> None:
    """End the client sessions and the server."""
    await cluster.session.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    cluster.registry.close()
    await cluster.registry.store.close()


Kubectl = Callable[..., Any]
