"""The two origins that a client may have: a registry in process, and an API server over TLS on loopback."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from minikube_py.aio.clock import SystemClock
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.server import ApiServer
from minikube_py.apiserver.tokens import ServiceAccountTokens
from minikube_py.client.base import Cache, Change, Clients
from minikube_py.client.http import HttpClients
from minikube_py.cluster import pki
from minikube_py.collect import values
from minikube_py.meta.kind import Kind
from minikube_py.registry.base import ClusterFacts
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry
from minikube_py.store.memory import MemoryStore

WIDGET = Kind("Widget", "example.com/v1", "widgets", subresources=("status", "scale"), schema={})
"""A custom resource that takes any field."""


@dataclass
class World:
    """Clients, and the registry that they reach in the end."""

    clients: Clients
    registry: Registry


class Server:
    """An API server that can be stopped and started again at its port."""

    def __init__(self, folder: Path) -> None:
        self.keys = pki.ensure(folder / "pki", pki.subjects("node", ["127.0.0.1"]), datetime.now(UTC))
        kinds = Catalogue([*values("minikube_py.kinds", Kind), WIDGET])
        signer = ServiceAccountTokens.load(self.keys.service_accounts)
        self.registry = Registry(MemoryStore(), kinds, ClusterFacts(), SystemClock(), signer)
        self.config = ApiServerConfig(
            listen=(("127.0.0.1", 0),),
            certificate=self.keys.apiserver.certificate,
            key=self.keys.apiserver.key,
            client_ca=self.keys.ca.certificate,
            service_account_key=self.keys.service_accounts,
            advertise=("10.244.0.1", 8443),
        )
        self.url = ""
        self._tasks = Tasks("server")

    async def start(self) -> None:
        """Serve; at the same port as before."""
        server, ready = ApiServer(self.registry, self.config), asyncio.Event()
        task = self._tasks.spawn(server.run(ready), "run")
        await asyncio.wait((task, self._tasks.spawn(ready.wait(), "ready")), return_when="FIRST_COMPLETED")
        if task.done():
            task.result()
        host, port = server.addresses[0]
        self.config, self.url = replace(self.config, listen=((host, port),)), f"https://{host}:{port}"

    async def stop(self) -> None:
        """Close every connection."""
        await self._tasks.cancel()

    def tls(self, *, admin: bool = True) -> ssl.SSLContext:
        """A client's context, with the administrator's certificate or with none."""
        context = ssl.create_default_context(cafile=str(self.keys.ca.certificate))
        if admin:
            context.load_cert_chain(self.keys.admin.certificate, self.keys.admin.key)
        return context

    def clients(self) -> HttpClients:
        """The administrator's clients; to be entered."""
        return HttpClients(self.url, self.tls(), kinds=self.registry.catalogue.all())


async def until(cache: Cache, kind: Kind, holds: Callable[[], bool]) -> None:
    """Wait until `holds`, looking after each change of a kind in the cache."""
    done = asyncio.Event()

    def look(change: Change | None) -> None:
        if holds():
            done.set()

    unsubscribe = cache.subscribe(kind, look)
    look(None)
    await done.wait()
    unsubscribe()
