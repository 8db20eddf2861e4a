"""A cluster of simulated nodes from `start --nodes N --simulate` to its end, by the command line."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cluster

from minikube_py.testing.containerd import unavailable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NODES = 20
CROWD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: crowd}
spec:
  replicas: 60
  selector: {matchLabels: {app: crowd}}
  template:
    metadata: {labels: {app: crowd}}
    spec:
      nodeSelector: {minikube-py.io/simulated: "true"}
      containers: [{name: main, image: "nobody/has:this"}]
"""


@pytest.fixture
def crowd() -> Iterator[Cluster]:
    """A cluster of the test's own, of this machine's node and NODES simulated ones."""
    if reason := unavailable():
        pytest.skip(reason)
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    home = Path(tempfile.mkdtemp(prefix="mkpy-crowd-"))
    made = Cluster(home, f"crowd-{os.getpid()}")
    try:
        told = made.run("start", "--nodes", str(NODES), "--simulate")
        assert f"{NODES} of {NODES} simulated nodes are Ready" in told
        yield made
    finally:
        made.run("delete")
        shutil.rmtree(home, ignore_errors=True)


def test_a_cluster_of_simulated_nodes(crowd: Cluster) -> None:
    """Nodes are Ready once `start` returns; a Deployment runs on all of them, leaves a drained one, and goes; a
    node that is deleted stays away."""
    nodes = crowd.kubectl("get", "nodes", "-l", "minikube-py.io/simulated=true", "--no-headers")
    assert nodes.split()[1::5] == ["Ready"] * NODES
    crowd.kubectl("apply", "-f", "-", input=CROWD)
    crowd.kubectl("rollout", "status", "deployment/crowd", "--timeout=60s")
    places = {pod["spec"]["nodeName"] for pod in crowd.get("pods")["items"]}
    assert places == {f"node-{number:04}" for number in range(1, NODES + 1)}
    crowd.kubectl("drain", "node-0007", "--ignore-daemonsets", "--timeout=60s")
    crowd.kubectl("rollout", "status", "deployment/crowd", "--timeout=60s")
    assert crowd.get("pods", "--field-selector=spec.nodeName=node-0007")["items"] == []
    crowd.kubectl("delete", "deployment/crowd", "--cascade=foreground", "--timeout=60s")
    assert crowd.get("pods")["items"] == []
    crowd.kubectl("delete", "node", "node-0007")
    assert len(crowd.get("nodes")["items"]) == NODES
