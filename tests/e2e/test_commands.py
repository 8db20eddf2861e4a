"""The project's own commands, for those without kubectl."""

import json
from pathlib import Path

import pytest
from conftest import PROFILE, Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: main, image: "demo:1", command: [/bin/sh, -c, "echo ready; exec sleep 600"]}
"""


def test_apply_to_delete(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """apply, get, logs, exec, scale, rollout, describe, wait and delete do what kubectl's do."""
    file = tmp_path / "app.yaml"
    file.write_text(DEPLOYMENT)
    where = ("-n", namespace)
    assert cluster.run("apply", "-f", str(file), *where) == "deployment.apps/app created\n"
    assert cluster.run("apply", "-f", str(file), *where) == "deployment.apps/app unchanged\n"
    assert cluster.run("rollout", "status", "deploy/app", *where).endswith("successfully rolled out\n")
    header, *rows = cluster.run("get", "pods", *where).splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[1:3] for row in rows] == [["1/1", "Running"]] * 2
    assert json.loads(cluster.run("get", "deploy", "app", "-o", "json", *where))["spec"]["replicas"] == 2
    assert cluster.run("logs", "deploy/app", *where) == "ready\n"
    assert cluster.run("exec", *where, "deploy/app", "--", "/bin/busybox", "hostname").startswith("app-")
    cluster.run("exec", *where, "deploy/app", "--", "/bin/sh", "-c", "exit 5", code=5)
    assert cluster.run("scale", "deploy/app", "--replicas=1", *where) == "deployment.apps/app scaled\n"
    cluster.run("wait", "deploy/app", "--for=jsonpath={.status.replicas}=1", *where)
    assert "ScalingReplicaSet" in cluster.run("describe", "deploy", "app", *where)
    cluster.run("rollout", "restart", "deploy/app", *where)
    cluster.run("rollout", "status", "deploy/app", *where)
    assert cluster.run("rollout", "undo", "deploy/app", *where) == "deployment.apps/app rolled back\n"
    assert cluster.run("delete", "-f", str(file), *where) == 'deployment.apps "app" deleted\n'
    assert "NotFound" in cluster.run("get", "deploy", "app", *where, code=1)


def test_errors_are_one_line_with_advice(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """What goes wrong is said in a sentence; nothing shows a traceback."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: Pod\napiVersion: v1\nmetadata: {name: a}\nmetadata: {name: b}\n")
    assert 'key "metadata" already set in map' in cluster.run("apply", "-f", str(bad), code=1)
    bad.write_text(json.dumps(pod("typo", ["true"], container={"imagee": "x"})))
    assert "imagee: field not declared in schema" in cluster.run("apply", "-f", str(bad), code=1)
    assert 'resource type "things"' in cluster.run("get", "things", code=1)
    missing = cluster.run("-p", "nowhere", "get", "pods", code=1)
    assert "minikube-py start" in missing
    assert "Traceback" not in missing


def test_status_shows_every_component(cluster: Cluster) -> None:
    """status names each component as running, with the processes' memory."""
    state = json.loads(cluster.run("status", "-o", "json"))
    assert {c["name"]: c["state"] for c in state["components"]} == dict.fromkeys(
        (
            "containerd",
            "registry",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "cluster-dns",
            "kubelet",
            "simulated-nodes",
            "bridge",
        ),
        "running",
    )
    assert [p["name"] for p in state["processes"]] == ["minikube-py", "containerd"]
    assert "kube-scheduler" in cluster.run("status")


def test_images_are_listed(cluster: Cluster) -> None:
    """image ls shows what image build has made."""
    assert "docker.io/library/demo:1" in cluster.run("image", "ls")
    assert "no file" in cluster.run("image", "load", "nowhere.tar", code=1)


def test_kubectl_passes_through(cluster: Cluster) -> None:
    """kubectl runs on this cluster whatever the current context is."""
    assert cluster.run("kubectl", "get", "nodes", "-o", "name") == f"node/{PROFILE}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(cluster: Cluster, shell: str) -> None:
    """completion prints code for each shell."""
    assert "minikube-py" in cluster.run("completion", shell)
