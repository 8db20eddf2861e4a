"""A user's story with the real kubectl: apply, see, change, break, heal, delete; nothing is left behind."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cluster, leftovers, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WEB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "<h1>hello</h1>"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: demo:1
        env: [{name: GREETING, value: one}]
        ports: [{name: http, containerPort: 8080}]
        resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {memory: 64Mi}}
        startupProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /www}]
      volumes: [{name: page, configMap: {name: page}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


@pytest.fixture
def web(cluster: Cluster, namespace: str) -> Callable[..., str]:
    """The application of the story, rolled out; call it as kubectl in its namespace."""

    def kubectl(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    kubectl("apply", "-f", "-", input=WEB)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return kubectl


def pods(cluster: Cluster, namespace: str, selector: str = "app=web") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("pods", "-n", namespace, "-l", selector)["items"]
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


def restarts(found: list[dict[str, Any]]) -> dict[str, int]:
    return {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["restartCount"] for p in found}


def node_port(cluster: Cluster, namespace: str) -> str:
    port = cluster.get("service", "web", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    address = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    return f"http://{address}:{port}/"


def test_web_is_served(
    cluster: Cluster, namespace: str, web: Callable[..., str], shell: Callable[..., str]
) -> None:
    """The page comes by node port, cluster address and DNS name; a changed ConfigMap changes it."""
    assert fetch(node_port(cluster, namespace)) == "<h1>hello</h1>"
    address = cluster.get("service", "web", "-n", namespace)["spec"]["clusterIP"]
    for host in (address, "web", f"web.{namespace}.svc.cluster.local"):
        assert shell(f"wget -qO- http://{host}/") == "<h1>hello</h1>"
    assert "10.96" in shell("cat /etc/resolv.conf") or "nameserver" in shell("cat /etc/resolv.conf")
    changed = {"data": {"index.html": "<h1>changed</h1>"}}
    web("patch", "configmap", "page", "--type=merge", "-p", json.dumps(changed))
    name = pods(cluster, namespace)[0]["metadata"]["name"]
    wait = "until grep -q changed /www/index.html; do sleep 0.1; done; cat /www/index.html"
    assert web("exec", name, "--", "/bin/sh", "-c", wait) == "<h1>changed</h1>"


def test_kubectl_shows_it(cluster: Cluster, namespace: str, web: Callable[..., str]) -> None:
    """get, describe, logs, explain and their columns are what kubectl users know."""
    header, *rows = web("get", "pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[1:3] for row in rows] == [["1/1", "Running"]] * 3
    everything = web("get", "all")
    for kind in ("pod/web-", "service/web", "deployment.apps/web", "replicaset.apps/web-"):
        assert kind in everything
    described = web("describe", "deployment", "web")
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in described
    assert "Scaled up replica set" in described
    name = pods(cluster, namespace)[0]["metadata"]["name"]
    assert [word for word in ("Scheduled", "Created", "Started") if word in web("describe", "pod", name)] == [
        "Scheduled",
        "Created",
        "Started",
    ]
    fetch(node_port(cluster, namespace))
    assert "response:200" in web("logs", "deployment/web", "--all-pods=true")
    assert "podIP" in cluster.kubectl("explain", "pod.status")
    assert web("auth", "can-i", "delete", "pods").strip() == "yes"


def test_exec_streams_and_codes(cluster: Cluster, namespace: str, web: Callable[..., str]) -> None:
    """exec carries input, both outputs and the exit code, by WebSocket and by SPDY."""
    name = pods(cluster, namespace)[0]["metadata"]["name"]
    for websockets in ("true", "false"):
        os.environ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websockets
        try:
            assert web("exec", "-i", name, "--", "/bin/busybox", "cat", input="a\nb\n") == "a\nb\n"
            assert "out" in web("exec", name, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7", code=7)
        finally:
            del os.environ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"]


def test_scale_and_roll(cluster: Cluster, namespace: str, web: Callable[..., str]) -> None:
    """scale, rollout restart, undo and history move the pods as they should."""
    web("scale", "deployment/web", "--replicas=5")
    web("rollout", "status", "deployment/web", "--timeout=60s")
    assert len(pods(cluster, namespace)) == 5
    web("scale", "deployment/web", "--replicas=2")
    cluster.wait("deployment/web", "jsonpath={.status.replicas}=2", "-n", namespace)
    before = set(restarts(pods(cluster, namespace)))
    web("rollout", "restart", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=60s")
    assert before.isdisjoint(restarts(pods(cluster, namespace)))
    web("set", "env", "deployment/web", "GREETING=two")
    web("rollout", "status", "deployment/web", "--timeout=60s")
    greeting = "jsonpath={.spec.template.spec.containers[0].env[0].value}"
    assert web("get", "deployment", "web", "-o", greeting) == "two"
    web("rollout", "undo", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=60s")
    assert web("get", "deployment", "web", "-o", greeting) == "one"
    assert len(web("rollout", "history", "deployment/web").strip().splitlines()) == 5


def test_killed_container_and_pod_heal(cluster: Cluster, namespace: str, web: Callable[..., str]) -> None:
    """A container that dies is restarted in its pod; a deleted pod is replaced by another."""
    name = pods(cluster, namespace)[0]["metadata"]["name"]
    container = pods(cluster, namespace)[0]["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    killed = 0
    for cgroup in Path("/sys/fs/cgroup").glob(f"**/{container}/cgroup.procs"):
        for pid in cgroup.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
            killed += 1
        break
    assert killed > 0
    one = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    cluster.wait(f"pod/{name}", one, "-n", namespace)
    cluster.wait(f"pod/{name}", "condition=Ready", "-n", namespace)
    state = cluster.get("pod", name, "-n", namespace)["status"]["containerStatuses"][0]["lastState"]
    assert state["terminated"]["exitCode"] == 137
    web("delete", "pod", name)
    web("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=3", "-n", namespace)
    assert name not in restarts(pods(cluster, namespace))
    assert len(pods(cluster, namespace)) == 3


def test_killed_process_heals(cluster: Cluster, namespace: str, web: Callable[..., str]) -> None:
    """kill -9 of the process: pods run on and are served; start adopts them with no restart."""
    before = {p["metadata"]["uid"]: p["status"]["containerStatuses"][0] for p in pods(cluster, namespace)}
    url = node_port(cluster, namespace)
    os.kill(cluster.pid, signal.SIGKILL)
    assert fetch(url) == "<h1>hello</h1>"
    assert "Done" in cluster.run("start")
    web("rollout", "status", "deployment/web", "--timeout=60s")
    after = {p["metadata"]["uid"]: p["status"]["containerStatuses"][0] for p in pods(cluster, namespace)}
    same = [(s["containerID"], s["restartCount"]) for _, s in sorted(before.items())]
    assert [(s["containerID"], s["restartCount"]) for _, s in sorted(after.items())] == same
    assert "runs already" in cluster.run("start")


def test_stop_and_start_bring_pods_back(cluster: Cluster, namespace: str, web: Callable[..., str]) -> None:
    """stop leaves nothing running; start brings the same pods back with new containers."""
    names = set(restarts(pods(cluster, namespace)))
    cluster.run("stop")
    assert leftovers(cluster.folder) == []
    assert json.loads(cluster.run("status", "-o", "json", code=7))["Host"] == "Stopped"
    cluster.run("start")
    web("rollout", "status", "deployment/web", "--timeout=60s")
    assert set(restarts(pods(cluster, namespace))) == names
    assert fetch(node_port(cluster, namespace)) == "<h1>hello</h1>"


def test_missing_image_says_why(cluster: Cluster, namespace: str) -> None:
    """A missing image gives ErrImagePull, then ImagePullBackOff, with the reason in an event."""
    body = pod("nothing", ["true"], container={"image": "127.0.0.1:1/nothing:1"})
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(body))
    waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        cluster.wait("pod/nothing", f"{waiting}={reason}", "-n", namespace)
    events = [e["message"] for e in cluster.get("events", "-n", namespace)["items"] if e["reason"] == "Failed"]
    assert any('Failed to pull image "127.0.0.1:1/nothing:1"' in message for message in events)


def test_jobs_and_daemonsets(cluster: Cluster, namespace: str) -> None:
    """A Job runs to completion, a failing one gives up; a DaemonSet has a pod on the node."""
    template = pod("work", ["/bin/sh", "-c", "echo done"], restartPolicy="Never")
    for name, command, goal in (
        ("good", "echo done", "condition=Complete"),
        ("bad", "exit 3", "condition=Failed"),
    ):
        spec = {**template["spec"], "containers": [{**template["spec"]["containers"][0]}]}
        spec["containers"][0]["command"] = ["/bin/sh", "-c", command]
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": spec}},
        }
        cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(job))
        cluster.wait(f"job/{name}", goal, "-n", namespace)
    assert cluster.kubectl("-n", namespace, "logs", "job/good").strip() == "done"
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": pod("agent", ["/bin/busybox", "sleep", "600"], terminationGracePeriodSeconds=0)["spec"],
            },
        },
    }
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(daemons))
    cluster.kubectl("-n", namespace, "rollout", "status", "daemonset/agent", "--timeout=60s")
    cluster.kubectl("-n", namespace, "delete", "daemonset", "agent", "--timeout=60s")
    assert pods(cluster, namespace, "app=agent") == []


def test_pods_reach_the_api_with_their_token(
    cluster: Cluster, namespace: str, shell: Callable[..., str]
) -> None:
    """A pod finds its token and CA, and RBAC decides what it may do."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert shell(f"cat {folder}/namespace") == namespace
    token = shell(f"cat {folder}/token")
    whoami = cluster.kubectl("auth", "whoami", "--token", token, "-o", "json", "--kubeconfig=/dev/null",
                             "--server", _server(cluster), "--insecure-skip-tls-verify")  # fmt: skip
    user = json.loads(whoami)["status"]["userInfo"]["username"]
    assert user == f"system:serviceaccount:{namespace}:default"
    account = f"--as=system:serviceaccount:{namespace}:default"
    assert cluster.kubectl("-n", namespace, "auth", "can-i", "list", "pods", account, code=1).startswith("no")
    binding = ("create", "rolebinding", "see", "--clusterrole=view")
    cluster.kubectl("-n", namespace, *binding, f"--serviceaccount={namespace}:default")
    assert cluster.kubectl("-n", namespace, "auth", "can-i", "list", "pods", account).strip() == "yes"


def _server(cluster: Cluster) -> str:
    return cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
