"""Services, judged from inside pods and from the machine: who is reached, who is refused, what DNS says."""

import json
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

SERVE = "mkdir -p /tmp/w; hostname > /tmp/w/index.html; exec busybox httpd -f -p 8080 -h /tmp/w"


def deployment(replicas: int) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    container = {"readinessProbe": probe, "ports": [{"name": "http", "containerPort": 8080}]}
    hook = {"preStop": {"sleep": {"seconds": 1}}}
    spec = pod("web", ["/bin/sh", "-c", SERVE], container=container | {"lifecycle": hook})["spec"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": spec | {"terminationGracePeriodSeconds": 3},
            },
        },
    }


def service(name: str, app: str = "web", **spec: Any) -> dict[str, Any]:
    usual = {"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": usual | spec}


@pytest.fixture
def web(cluster: Cluster, namespace: str) -> Callable[..., str]:
    """Three pods that tell their name, and Services of several kinds; call it as kubectl in the namespace."""

    def kubectl(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    items = [
        deployment(3),
        service("plain"),
        service("sticky", sessionAffinity="ClientIP"),
        service("outside", type="NodePort"),
        service("each", clusterIP="None"),
        service("empty", app="nobody"),
    ]
    kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return kubectl


def test_who_answers_and_who_refuses(
    cluster: Cluster, namespace: str, web: Callable[..., str], shell: Callable[..., str]
) -> None:
    """A Service spreads, a sticky one stays, a headless one names its pods; without endpoints a pod is refused
    at once, and so it is on a port that no Service has."""
    names = {p["metadata"]["name"] for p in cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]}
    ask = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -qO- http://{}/; done"
    assert set(shell(ask.format("plain")).split()) <= names
    assert len(set(shell(ask.format("sticky")).split())) == 1
    for target in ("empty", "plain:81"):
        assert "refused" in shell(f"busybox timeout 2 wget -qO- http://{target}/", code=1)
    itself = f"wget -qO- http://plain.{namespace}.svc.cluster.local/"
    assert web("exec", sorted(names)[0], "--", "/bin/sh", "-c", itself).strip() in names
    looked_up = shell(f"nslookup each.{namespace}.svc.cluster.local")
    addresses = {
        e["addresses"][0]
        for s in cluster.get("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=each")[
            "items"
        ]
        for e in s["endpoints"]
    }
    assert {word for word in looked_up.split() if word in addresses} == addresses


def test_no_request_fails_while_a_rollout_runs(
    cluster: Cluster, namespace: str, web: Callable[..., str]
) -> None:
    """Through the NodePort every request is answered while all pods are replaced."""
    port = cluster.get("service", "outside", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    address = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    seen: set[str] = set()
    failures: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as response:
                    seen.add(response.read().decode().strip())
            except OSError as error:
                failures.append(error)

    client = threading.Thread(target=ask)
    client.start()
    try:
        web("rollout", "restart", "deployment/web")
        web("rollout", "status", "deployment/web", "--timeout=90s")
    finally:
        done.set()
        client.join()
    assert failures == []
    assert len(seen) > 3


def test_a_host_port_answers_on_loopback(cluster: Cluster, namespace: str) -> None:
    """The machine's own programs reach a hostPort at 127.0.0.1, whether or not the port names an address."""
    ports = [{"containerPort": 8080, "hostPort": 28081}]
    ports += [{"containerPort": 8080, "hostPort": 28082, "hostIP": "127.0.0.1"}]
    served = pod("web", ["/bin/sh", "-c", SERVE], container={"ports": ports})
    ask = "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://127.0.0.1:{}/ 2>/dev/null && break; sleep 1; done"
    asked = "; ".join(ask.format(port["hostPort"]) for port in ports)
    asker = pod("asker", ["/bin/sh", "-c", asked], hostNetwork=True, restartPolicy="Never")
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": [served, asker]})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=body)
    cluster.wait("pod/asker", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    assert cluster.kubectl("logs", "asker", "-n", namespace).split() == ["web", "web"]
