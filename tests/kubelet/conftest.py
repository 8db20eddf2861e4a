"""A kubelet on a simulated runtime and an in-process API, in virtual time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubelet_node import NODE, Node, kubelet_running

from minikube_py.aio.clock import VirtualClock
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.thresholds import EvictionConfig
from minikube_py.runtime.simulated import SimulatedRuntime
from minikube_py.testing.inprocess import local_cluster


@pytest.fixture
async def idle_node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node whose kubelet does not run yet."""
    clock = VirtualClock()
    clients = await local_cluster(clock=clock, namespaces=("default", "kube-system", "kube-node-lease"))
    runtime = SimulatedRuntime(clock)
    for name in ("app:1", "app:2", "init:1"):
        runtime.images.add(name)
    config = KubeletConfig(
        node_name=NODE,
        node_ip="10.0.0.1",
        root_dir=tmp_path / "kubelet",
        log_dir=tmp_path / "logs",
        cgroup_root="",
        memory_volumes=False,
        eviction=EvictionConfig(hard={}),  # this machine's own disk says nothing of the tests
    )
    client = clients.named("kubelet")
    node = Node(clock, client, runtime, config, Kubelet(client, runtime, clock, config))
    yield node
    await runtime.close()
    clients.cache.close()


@pytest.fixture
async def node(idle_node: Node) -> AsyncIterator[Node]:
    """A node whose kubelet runs."""
    async with kubelet_running(idle_node):
        yield idle_node
