"""Simulated nodes by the real kubectl: a node is applied, a Deployment runs on it and scales, and all goes."""

import json

import pytest
from conftest import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NODE = """
apiVersion: v1
kind: Node
metadata:
  name: simulated-1
  labels: {simulation: "on"}
  annotations: {minikube-py.io/simulated: "true"}
spec:
  taints: [{key: minikube-py.io/simulated, effect: NoSchedule}]
"""

CROWD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: crowd}
spec:
  replicas: 3
  selector: {matchLabels: {app: crowd}}
  template:
    metadata: {labels: {app: crowd}}
    spec:
      nodeSelector: {simulation: "on"}
      tolerations: [{key: minikube-py.io/simulated, operator: Exists}]
      containers: [{name: main, image: "nobody/has:this"}]
"""

TASK = """
apiVersion: batch/v1
kind: Job
metadata: {name: task}
spec:
  completions: 3
  parallelism: 3
  template:
    metadata:
      annotations: {minikube-py.io/simulate: '{"delay": "100ms", "jitter": "200ms"}'}
    spec:
      restartPolicy: Never
      nodeSelector: {simulation: "on"}
      tolerations: [{key: minikube-py.io/simulated, operator: Exists}]
      containers: [{name: main, image: "nobody/has:this"}]
"""


def test_a_simulated_node(cluster: Cluster, namespace: str) -> None:
    """A Deployment of 50 pods is rolled out, a Job completes, logs say why there are none, nothing stays."""
    try:
        cluster.kubectl("apply", "-f", "-", input=NODE)
        cluster.wait("node/simulated-1", "condition=Ready")
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=CROWD)
        cluster.kubectl("-n", namespace, "rollout", "status", "deployment/crowd", "--timeout=60s")
        cluster.kubectl("-n", namespace, "scale", "deployment/crowd", "--replicas=50")
        cluster.kubectl("-n", namespace, "rollout", "status", "deployment/crowd", "--timeout=60s")
        pods = cluster.get("pods", "-n", namespace)["items"]
        assert {pod["spec"]["nodeName"] for pod in pods} == {"simulated-1"}
        assert len({pod["status"]["podIP"] for pod in pods}) == 50
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=TASK)
        cluster.wait("job/task", "condition=Complete", "-n", namespace)
        name = pods[0]["metadata"]["name"]
        said = cluster.kubectl("-n", namespace, "logs", name, code=1)
        assert "node simulated-1 is simulated: it has no kubelet to ask" in said
        cluster.kubectl("-n", namespace, "delete", "deployment/crowd", "job/task", "--cascade=foreground")
        assert cluster.get("pods", "-n", namespace)["items"] == []
    finally:
        cluster.kubectl("delete", "node", "simulated-1", "--ignore-not-found")
    assert [node["metadata"]["name"] for node in cluster.get("nodes")["items"]] != []
    ready = cluster.kubectl("get", "--raw", "/metrics")
    assert 'leader_election_master_status{name="kube-controller-manager"} 1' in ready
    assert 'workqueue_depth{name="deployment-controller"} 0' in ready
    lease = json.loads(cluster.kubectl("get", "lease", "-n", "kube-system", "kube-scheduler", "-o", "json"))
    assert lease["spec"]["leaseDurationSeconds"] == 15
