"""Clients of both sorts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client_worlds import WIDGET, Server, World

from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.testing.inprocess import local_cluster


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A running API server."""
    made = Server(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(params=["local", "http"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Clients by either way, whose cache knows ConfigMaps and Widgets."""
    if request.param == "local":
        clients = await local_cluster()
        clients.registry.catalogue.add(WIDGET)
        yield World(clients, clients.registry)
        return
    server = Server(tmp_path)
    await server.start()
    async with server.clients() as remote:
        await remote.sync(ConfigMap, WIDGET)
        yield World(remote, server.registry)
    await server.stop()
