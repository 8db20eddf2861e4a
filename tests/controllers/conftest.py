"""The fixture of all controllers in virtual time."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from controller_world import Lifecycle, NodeAgent, TextSigner, World

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.controllers.base import ControllerConfig
from minikube_py.controllers.manager import ControllerManager, controllers
from minikube_py.registry.base import ClusterFacts
from minikube_py.testing.inprocess import local_cluster


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    clock = VirtualClock()
    namespaces = ("default", "kube-system", "kube-node-lease")
    clients = await local_cluster(clock=clock, facts=ClusterFacts(root_ca="PEM"), namespaces=namespaces)
    clients.registry.admission = Lifecycle(clients.cache)
    config = ControllerConfig(root_ca="PEM", signer=TextSigner())
    manager = ControllerManager(clients, clock, config, [*controllers(), NodeAgent])
    async with Tasks("test") as tasks:
        ready = asyncio.Event()
        tasks.spawn(manager.run(ready), "manager")
        await ready.wait()
        made = World(clients, clock, manager)
        await made.settle()
        yield made
