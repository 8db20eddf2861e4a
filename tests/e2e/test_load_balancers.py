"""Services of type LoadBalancer on a real cluster: reached from this machine and from pods at EXTERNAL-IP."""

import json
import urllib.request
from collections.abc import Callable

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def fetch(address: str) -> str:
    """The page of a web server, asked for from this machine; why there is none otherwise."""
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=3) as answer:
            return str(answer.read().decode())
    except OSError as error:
        return str(getattr(error, "reason", error))


def test_an_external_ip_is_reached(cluster: Cluster, namespace: str, shell: Callable[..., str]) -> None:
    """EXTERNAL-IP is there at once and answers to this machine and to pods, unless source ranges leave them
    out; another Service may have it once the first one is of another type."""
    web = pod("web", [], terminationGracePeriodSeconds=0)
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(web))
    cluster.wait("pod/web", "condition=Ready", "-n", namespace)
    expose = ("expose", "pod/web", "--type=LoadBalancer", "--port=80", "--target-port=8080")
    cluster.kubectl("-n", namespace, *expose)
    present = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    cluster.wait("service/web", present, "-n", namespace, timeout="10s")
    address = cluster.kubectl("-n", namespace, "get", "service", "web", "-o", present)
    assert f" {address} " in cluster.kubectl("-n", namespace, "get", "service", "web")
    assert (shell(f"wget -qO- http://{address}"), fetch(address)) == ("<h1>built in</h1>\n",) * 2
    ranges = {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}}
    cluster.kubectl("-n", namespace, "patch", "service", "web", "-p", json.dumps(ranges))
    assert any(fetch(address) == "timed out" for _ in range(20))  # kube-proxy follows a moment later
    ranges["spec"]["loadBalancerSourceRanges"] = ["10.0.0.0/8", "10.1.0.0/16"]
    cluster.kubectl("-n", namespace, "patch", "service", "web", "-p", json.dumps(ranges))
    assert fetch(address) == "<h1>built in</h1>\n"
    other = ("create", "service", "loadbalancer", "other", "--tcp=80:8080", "--dry-run=client", "-o", "json")
    body = json.loads(cluster.kubectl("-n", namespace, *other))
    body["spec"]["loadBalancerIP"] = address
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(body))
    assert " <pending> " in cluster.kubectl("-n", namespace, "get", "service", "other")
    plain = {"spec": {"type": "ClusterIP", "loadBalancerSourceRanges": None}}
    cluster.kubectl("-n", namespace, "patch", "service", "web", "-p", json.dumps(plain))
    cluster.wait("service/other", f"{present}={address}", "-n", namespace, timeout="10s")
