"""Resources on a real node: cgroups, OOM scores, allocatable, admission, and limits of local storage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PROFILE, Cluster, pod

from minikube_py.cluster.profile import Profile
from minikube_py.kubelet.cm.cgroups import find

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Kubectl = Callable[..., str]
SLEEP = ["/bin/busybox", "sleep", "3600"]
SIZES = {"cpu": "100m", "memory": "64Mi"}


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""

    def run(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    return run


def sleeper(name: str, resources: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that sleeps, with these resources."""
    container = {"resources": resources or {}, **spec.pop("container", {})}
    return pod(name, spec.pop("command", SLEEP), container=container, terminationGracePeriodSeconds=0, **spec)


def create(kubectl: Kubectl, *objects: dict[str, Any]) -> None:
    """Create them all."""
    kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def await_status(kubectl: Kubectl, name: str, path: str, value: str) -> None:
    """Wait until a field of a pod's status has a value."""
    kubectl("wait", f"pod/{name}", f"--for=jsonpath={{.status.{path}}}={value}", "--timeout=60s")


def limits(tier: str, uid: str) -> list[int]:
    """CPU quota in microseconds a period (-1: none) and memory limit of a pod's cgroup, of either version."""
    at = find(Path("/proc/mounts").read_text())
    path = f"{Profile(PROFILE).cgroup_root}/kubepods/{tier}/pod{uid}".strip("/")
    if at.unified is not None and at.v2:
        quota = (at.unified / path / "cpu.max").read_text().split()[0]
        memory = (at.unified / path / "memory.max").read_text().strip()
        return [-1 if value == "max" else int(value) for value in (quota, memory)]
    quota = (at.controllers["cpu"] / path / "cpu.cfs_quota_us").read_text()
    memory = (at.controllers["memory"] / path / "memory.limit_in_bytes").read_text()
    return [int(quota), -1 if int(memory) > 1 << 60 else int(memory)]


def test_pods_have_cgroups_by_class(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """Each pod's class, cgroup and OOM score follow from what it and its containers ask for."""
    both = {"limits": SIZES, "requests": SIZES}
    whole = sleeper("whole")
    whole["spec"]["resources"] = both
    create(
        kubectl,
        sleeper("guaranteed", both),
        sleeper("burstable", {"requests": {"cpu": "50m"}, "limits": {"memory": "32Mi"}}),
        sleeper("besteffort"),
        whole,
    )
    names = ("guaranteed", "burstable", "besteffort", "whole")
    kubectl("wait", *(f"pod/{name}" for name in names), "--for=condition=Ready", "--timeout=60s")
    pods = {name: cluster.get("pod", name, "-n", namespace) for name in names}
    classes = [pods[name]["status"]["qosClass"] for name in names]
    assert classes == ["Guaranteed", "Burstable", "BestEffort", "Guaranteed"]
    uids = {name: found["metadata"]["uid"] for name, found in pods.items()}
    assert limits("", uids["guaranteed"]) == [10_000, 64 << 20]
    assert limits("burstable", uids["burstable"]) == [-1, 32 << 20]
    assert limits("besteffort", uids["besteffort"]) == [-1, -1]
    assert limits("", uids["whole"]) == [10_000, 64 << 20]
    floor = int(Path(f"/proc/{cluster.pid}/oom_score_adj").read_text())
    scores = [
        kubectl("exec", name, "--", "/bin/busybox", "cat", "/proc/1/oom_score_adj").strip() for name in names
    ]
    assert scores[2] == "1000"
    assert 2 < int(scores[1]) < 1000
    assert {scores[0], scores[3]} <= {"-997", str(floor)}


def test_node_tells_what_it_has(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """Capacity, allocatable and what is allocated are told; extended resources that somebody adds are kept."""
    node = cluster.get("nodes")["items"][0]
    name, told = node["metadata"]["name"], node["status"]
    usual = {"cpu", "memory", "pods", "ephemeral-storage", "hugepages-1Gi", "hugepages-2Mi"}
    assert usual <= told["capacity"].keys() == told["allocatable"].keys()
    body = json.dumps({"status": {"capacity": {"example.com/dongle": "2"}}})
    cluster.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", body)
    dongle = "jsonpath={.status.allocatable.example\\.com/dongle}=2"
    cluster.kubectl("wait", f"node/{name}", f"--for={dongle}", "--timeout=30s")
    try:
        create(kubectl, sleeper("user", {"limits": {"example.com/dongle": "2", **SIZES}}))
        kubectl("wait", "pod/user", "--for=condition=Ready", "--timeout=60s")
        described = cluster.kubectl("describe", "node", name)
        rows = [line.split() for line in described.partition("Allocated resources:")[2].splitlines()]
        assert ["example.com/dongle", "2", "2"] in rows
        assert any(row[:2] == ["cpu", "100m"] for row in rows)
        create(kubectl, sleeper("second", {"limits": {"example.com/dongle": "1"}}, nodeName=name))
        await_status(kubectl, "second", "reason", "OutOfexample.com/dongle")
    finally:
        gone = json.dumps({"status": {"capacity": {"example.com/dongle": None}}})
        cluster.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", gone)


def test_node_refuses_what_does_not_fit(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """A pod that names the node itself is refused where the scheduler would not have put it there."""
    node = cluster.get("nodes")["items"][0]
    here = {"nodeName": node["metadata"]["name"]}
    cores = int(node["status"]["allocatable"]["cpu"])
    port = {"ports": [{"containerPort": 80, "hostPort": 28080}]}
    create(kubectl, sleeper("first", container=port, **here))
    kubectl("wait", "pod/first", "--for=condition=Ready", "--timeout=60s")
    create(
        kubectl,
        sleeper("huge", {"requests": {"cpu": str(cores + 1)}}, **here),
        sleeper("fat", {"requests": {"memory": "1Pi"}}, **here),
        sleeper("other-node", nodeSelector={"disk": "none"}, **here),
        sleeper("same-port", container=port, **here),
    )
    reasons = {"huge": "OutOfcpu", "fat": "OutOfmemory", "other-node": "NodeAffinity", "same-port": "NodePorts"}
    for name, reason in reasons.items():
        await_status(kubectl, name, "reason", reason)
    pods = {name: cluster.get("pod", name, "-n", namespace)["status"] for name in reasons}
    assert {status["phase"] for status in pods.values()} == {"Failed"}
    start = "Pod was rejected: Node didn't have enough resource: cpu, requested: "
    assert pods["huge"]["message"].startswith(f"{start}{(cores + 1) * 1000}, used: ")
    assert pods["huge"]["message"].endswith(f"capacity: {cores * 1000}")
    assert pods["other-node"]["message"] == (
        "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    )
    assert "OutOfcpu" in kubectl("get", "pods")
    kubectl("delete", "pod", *reasons, "--timeout=30s")


def test_local_storage_is_limited(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """Pods that write more to the node's disk than they may are evicted."""

    def writer(name: str, file: str, limit: str, **spec: Any) -> dict[str, Any]:
        script = f"dd if=/dev/zero of={file} bs=1M count=6; sync; sleep 3600"
        own = {"limits": {"ephemeral-storage": limit}} if limit else {}
        return sleeper(name, own, command=["/bin/sh", "-c", script], **spec)

    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "2Mi"}}]
    mounts = {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    create(
        kubectl,
        writer("layer", "/tmp/big", "2Mi"),
        writer("modest", "/tmp/big", "64Mi"),
        writer("volume", "/scratch/big", "", volumes=volumes, container=mounts),
    )
    for name in ("layer", "volume"):
        await_status(kubectl, name, "phase", "Failed")
    told = {name: cluster.get("pod", name, "-n", namespace)["status"] for name in ("layer", "volume", "modest")}
    assert [told[name].get("reason") for name in told] == ["Evicted", "Evicted", None]
    text = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert told["layer"]["message"] == text
    assert told["volume"]["message"] == 'Usage of EmptyDir volume "scratch" exceeds the limit "2Mi". '
    assert told["modest"]["phase"] == "Running"
    assert "Evicted" in kubectl("describe", "pod", "layer")
