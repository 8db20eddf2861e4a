"""helm and the JavaScript client, where they are installed: an application's life, and a program's.

`helm` is looked for in PATH, the npm package `@kubernetes/client-node` where node finds packages (NODE_PATH).
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: demo:1
        command: [/bin/busybox, sleep, "3600"]
        resources: {limits: {memory: 32Mi}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}-web
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: 80, targetPort: 8080}]
"""
PROGRAM = Path(__file__).parent / "client_node.mjs"


@pytest.fixture
def helm(cluster: Cluster, namespace: str, tmp_path: Path) -> Callable[..., str]:
    """Runs helm in the namespace; its output, of a failure the errors too."""
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed")
    folders = {f"HELM_{name}_HOME": str(tmp_path / "helm") for name in ("CACHE", "CONFIG", "DATA")}

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [program, *arguments, "--namespace", namespace],
            env={**cluster.environment, **folders},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    return run


def test_helm(cluster: Cluster, namespace: str, helm: Callable[..., str], tmp_path: Path) -> None:
    """A release is installed, upgraded, rolled back and removed; a wrong value is told by the field."""
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("replicas: 1\n")
    (chart / "templates" / "web.yaml").write_text(WEB)
    helm("install", "r", str(chart), "--wait", "--timeout", "60s")
    helm("upgrade", "r", str(chart), "--set", "replicas=2", "--wait", "--timeout", "60s")
    assert cluster.get("deployment", "r-web", "-n", namespace)["status"]["readyReplicas"] == 2
    refused = helm("upgrade", "r", str(chart), "--set", "replicas=x", code=1)
    assert "spec.replicas" in refused
    helm("rollback", "r", "1", "--wait", "--timeout", "60s")
    history = json.loads(helm("history", "r", "--output", "json"))
    assert [(one["revision"], one["status"]) for one in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "failed"),
        (4, "deployed"),
    ]
    assert cluster.get("deployment", "r-web", "-n", namespace)["spec"]["replicas"] == 1
    helm("uninstall", "r", "--wait", "--timeout", "60s")
    left = cluster.get("deployments,services,secrets", "-n", namespace)["items"]
    assert [one["metadata"]["name"] for one in left] == []


def test_client_node(cluster: Cluster, namespace: str) -> None:
    """A program watches by informer, writes in every form, scales, runs a command, defines a kind."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    probe = subprocess.run(
        [node, "-p", "require.resolve('@kubernetes/client-node')"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip("the npm package @kubernetes/client-node is not in NODE_PATH")
    environment = {**os.environ, **cluster.environment, "CLIENT_NODE": f"file://{probe.stdout.strip()}"}
    done = subprocess.run(
        [node, str(PROGRAM), namespace],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "informed": ["add c", "update c", "update c", "update c", "delete c"],
        "conflict": [409, "Conflict"],
        "pages": ["s0", "s1", "s2"],
        "exec": ["out hello\n", "err\n", "NonZeroExitCode"],
        "invalid": [422, "spec.n in body should be greater than or equal to 1"],
        "custom": {"p": "x"},
        "whoami": "kubernetes-admin",
    }
