"""The node as clients see it: what it tells of itself, its kubelet's API, `kubectl top`, and an autoscaler."""

import json
import re
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
from conftest import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BUSY = ["/bin/sh", "-c", "while true; do :; done"]


def busy(name: str) -> dict[str, Any]:
    """A Deployment of one pod that keeps a fifth of a core busy."""
    container = {
        "name": "main",
        "image": "demo:1",
        "command": BUSY,
        "resources": {"requests": {"cpu": "50m", "memory": "8Mi"}, "limits": {"cpu": "200m"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def node_name(cluster: Cluster) -> str:
    return str(cluster.get("nodes")["items"][0]["metadata"]["name"])


def test_node_tells_of_itself(cluster: Cluster) -> None:
    """Labels, addresses, conditions, images, daemon endpoint and the events of the start are there."""
    node = cluster.get("node", node_name(cluster))
    status, labels = node["status"], node["metadata"]["labels"]
    assert {"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"} <= labels.keys()
    assert {a["type"] for a in status["addresses"]} == {"InternalIP", "Hostname"}
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions["Ready"] == "True"
    assert {"MemoryPressure", "DiskPressure", "PIDPressure"} <= conditions.keys()
    assert conditions["NetworkUnavailable"] == "False"
    assert status["nodeInfo"]["kubeletVersion"].startswith("v1.34")
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] > 0
    assert 0 < len(status["images"]) <= 50
    events = cluster.get("events", "-n", "default", "--field-selector=involvedObject.kind=Node")["items"]
    reasons = {"Starting", "NodeAllocatableEnforced", "NodeReady", "NodeHasSufficientMemory"}
    assert reasons <= {event["reason"] for event in events}


def test_statistics_and_top(cluster: Cluster, namespace: str) -> None:
    """The summary, the metrics and `kubectl top` tell what a pod uses; an autoscaler scales it up by that."""
    name = node_name(cluster)
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(busy("busy")))
    cluster.kubectl("rollout", "status", "deployment/busy", "-n", namespace, "--timeout=60s")
    cluster.kubectl(
        "autoscale", "deployment", "busy", "-n", namespace, "--cpu-percent=50", "--min=1", "--max=2"
    )
    summary = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{name}/proxy/stats/summary"))
    pod = next(p for p in summary["pods"] if p["podRef"]["namespace"] == namespace)
    container = pod["containers"][0]
    assert container["cpu"]["usageNanoCores"] > 0 and container["memory"]["workingSetBytes"] > 0
    assert {"rootfs", "logs"} <= container.keys()
    assert {"network", "ephemeral-storage", "process_stats", "volume"} <= pod.keys()
    assert "scratch" in {volume["name"] for volume in pod["volume"]}
    assert summary["node"]["runtime"]["imageFs"]["capacityBytes"] > 0
    series = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{name}/proxy/metrics/cadvisor")
    for metric in ("container_cpu_usage_seconds_total", "container_network_receive_bytes_total"):
        assert any(
            line.startswith(metric) and f'namespace="{namespace}"' in line for line in series.splitlines()
        )
    assert "machine_cpu_cores" in series
    assert cluster.kubectl("top", "node", "--no-headers").split()[0] == name
    cluster.wait("deployment/busy", "jsonpath={.status.readyReplicas}=2", "-n", namespace, timeout="90s")
    listed = json.loads(
        cluster.kubectl(
            "get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector=app%3Dbusy"
        )
    )
    assert {item["metadata"]["labels"]["app"] for item in listed["items"]} == {"busy"}
    line = (
        cluster.kubectl("top", "pod", "-n", namespace, "--containers", "--no-headers").splitlines()[0].split()
    )
    assert (line[1], line[2].endswith("m"), line[3].endswith("Mi")) == ("main", True, True)
    events = cluster.get("events", "-n", namespace, "--field-selector=reason=SuccessfulRescale")["items"]
    assert [e["message"].startswith("New size: 2; reason: cpu resource utilization") for e in events] == [True]


def series(cluster: Cluster, path: str) -> dict[str, list[dict[str, str]]]:
    """The labels of every series at a path of the kubelet, by name."""
    text = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node_name(cluster)}/proxy{path}")
    found: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            labels = dict(re.findall(r'(\w+)="([^"]*)"', rest.rpartition("}")[0]))
            found.setdefault(name.split(" ")[0], []).append(labels)
    return found


def test_metrics_of_a_pod(cluster: Cluster, namespace: str) -> None:
    """A container with limits and a probe is told of by all series that dashboards and alerts ask for."""
    body = busy("limited")["spec"]["template"]["spec"]
    body["containers"][0] |= {"readinessProbe": {"exec": {"command": ["/bin/busybox", "true"]}}}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "limited"}, "spec": body}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(made))
    cluster.wait("pod/limited", "condition=Ready", "-n", namespace)
    found = series(cluster, "/metrics/cadvisor")
    whose = [
        labels for labels in found["container_cpu_usage_seconds_total"] if labels["namespace"] == namespace
    ]
    assert {(labels["container"], labels["pod"], bool(labels["name"])) for labels in whose} == {
        ("", "limited", False),
        ("", "limited", True),
        ("main", "limited", True),
    }
    assert {"container", "cpu", "id", "image", "name", "namespace", "pod"} == set(whose[0])
    ours = {
        name
        for name, each in found.items()
        if any((labels.get("container"), labels.get("namespace")) == ("main", namespace) for labels in each)
    }
    assert {
        "container_cpu_user_seconds_total",
        "container_cpu_cfs_periods_total",
        "container_cpu_cfs_throttled_seconds_total",
        "container_memory_rss",
        "container_memory_failures_total",
        "container_memory_max_usage_bytes",
        "container_spec_cpu_quota",
        "container_spec_cpu_shares",
        "container_spec_memory_limit_bytes",
        "container_start_time_seconds",
        "container_last_seen",
        "container_threads",
        "container_file_descriptors",
        "container_fs_usage_bytes",
    } <= ours
    assert "/" in {labels["id"] for labels in found["container_memory_working_set_bytes"]}
    own = series(cluster, "/metrics")
    assert {"operation_type": "run_podsandbox"} in own["kubelet_runtime_operations_total"]
    assert {
        "kubelet_node_name",
        "kubelet_running_pods",
        "kubelet_pod_start_sli_duration_seconds_bucket",
        "kubelet_pod_worker_duration_seconds_count",
        "kubelet_http_requests_total",
        "kubelet_started_pods_total",
        "kubelet_certificate_manager_server_ttl_seconds",
        "volume_manager_total_volumes",
        "process_start_time_seconds",
        "kubernetes_build_info",
    } <= own.keys()
    probed = series(cluster, "/metrics/probes")
    assert {"container": "main", "namespace": namespace, "pod": "limited", "probe_type": "Readiness"} in probed[
        "prober_probe_duration_seconds_count"
    ]


def ask(cluster: Cluster, path: str, token: str) -> tuple[int, str]:
    """The code and the text of the kubelet's own answer to a bearer of this token."""
    node = cluster.get("node", node_name(cluster))
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, context=tls, timeout=20) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ("nodes/pods", {"/pods": 200, "/healthz": 403, "/metrics": 403, "/stats/summary": 403}),
        ("nodes/metrics", {"/metrics/resource": 200, "/metrics/probes": 200, "/pods": 403, "/configz": 403}),
        ("nodes/log", {"/logs/": 200, "/pods": 403, "/metrics": 403}),
        ("nodes/proxy", {"/pods": 200, "/healthz": 200, "/configz": 200, "/metrics": 403, "/logs/": 403}),
    ],
)
def test_rights_on_the_kubelet(cluster: Cluster, namespace: str, right: str, expected: dict[str, int]) -> None:
    """Each path of the kubelet asks for its own subresource of nodes; without a token there is nothing."""
    role = f"{namespace}-{right.replace('/', '-')}"
    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    cluster.kubectl("create", "clusterrole", role, "--verb=get", f"--resource={right}")
    cluster.kubectl(
        "create", "clusterrolebinding", role, f"--clusterrole={role}", f"--serviceaccount={namespace}:reader"
    )
    token = cluster.kubectl("create", "token", "reader", "-n", namespace).strip()
    try:
        assert {path: ask(cluster, path, token)[0] for path in expected} == expected
        for nobody in ("", "nonsense"):
            seen = {path: ask(cluster, path, nobody) for path in expected}
            assert seen == dict.fromkeys(expected, (401, "Unauthorized"))
        who = f"user=system:serviceaccount:{namespace}:reader"
        refusal = f"Forbidden ({who}, verb=get, resource=nodes, subresource(s)=[proxy])\n"
        assert right == "nodes/proxy" or ask(cluster, "/nowhere", token) == (403, refusal)
    finally:
        cluster.kubectl("delete", "clusterrole,clusterrolebinding", role)
