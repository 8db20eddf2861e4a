"""Fixtures: a running API server, an administrator's client, kubectl."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from api_cluster import Client, Cluster, Kubectl, start, stop
from loop_time import measured

from minikube_py.aio.process import Completed, run


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A running API server."""
    made, task = await start(tmp_path)
    yield made
    await stop(made, task)


@pytest.fixture
def admin(cluster: Cluster) -> Client:
    """A client in system:masters."""
    return cluster.client("admin", "system:masters")


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    """Runs the real kubectl as a cluster administrator."""
    path = cluster.kubeconfig("kubectl-admin", "system:masters")

    async def kubectl(*arguments: str, input: str | None = None, check: bool = True) -> Completed:
        argv = ["kubectl", f"--kubeconfig={path}", f"--cache-dir={cluster.folder}/cache", *arguments]
        return await run(argv, input=input, check=check, timeout=15)

    return kubectl


@pytest.fixture
def callbacks() -> Iterator[list[float]]:
    """The longest callback of this thread's loop, see `loop_time`."""
    with measured() as longest:
        yield longest
