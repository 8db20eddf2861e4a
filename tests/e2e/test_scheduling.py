"""Scheduling on the real node, as kubectl shows it: why pods wait, who gives way, gates."""

import json
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

NO_NODES = "0/1 nodes are available"
HELPLESS = f"no new claims to deallocate, preemption: {NO_NODES}: 1 Preemption is not helpful for scheduling."
NO_VICTIMS = (
    f"no new claims to deallocate, preemption: {NO_NODES}: 1 No preemption victims found for incoming pod."
)
EVENT = "{.items[*].message}"
UNSCHEDULED = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}"


def sleeper(name: str, *, cpu: str = "", labels: Any = None, grace: int = 0, **spec: Any) -> dict[str, Any]:
    """A pod that sleeps, and ends soon when told."""
    resources = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    made = pod(
        name,
        ["/bin/busybox", "sleep", "3600"],
        container=resources,
        terminationGracePeriodSeconds=grace,
        **spec,
    )
    made["metadata"]["labels"] = labels or {"app": name}
    return made


def reason(cluster: Cluster, namespace: str, name: str) -> str:
    """Why a pod waits, when it does; its event says the same."""
    cluster.wait(f"pod/{name}", f"{UNSCHEDULED}=Unschedulable", "-n", namespace)
    conditions = cluster.get("pod", name, "-n", namespace)["status"]["conditions"]
    message: str = next(one["message"] for one in conditions if one["type"] == "PodScheduled")
    about = f"involvedObject.name={name},reason=FailedScheduling"
    wanted = ("get", "events", "-n", namespace, "--field-selector", about)
    assert message in cluster.kubectl(*wanted, "-o", f"jsonpath={EVENT}")
    return message


def test_pods_that_no_node_takes_say_why(cluster: Cluster, namespace: str) -> None:
    """Resources, selectors, host names and spread each give upstream's words; a pod that fits later runs."""
    spread = {
        "maxSkew": 1,
        "minDomains": 2,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}},
    }
    missing = [{"name": "v", "persistentVolumeClaim": {"claimName": "absent"}}]
    pods = [
        sleeper("huge", cpu="5000"),
        sleeper("elsewhere", nodeSelector={"disk": "ssd"}),
        sleeper("spread-1", labels={"app": "spread"}, topologySpreadConstraints=[spread]),
        sleeper("claimless", volumes=missing),
        sleeper("gated", schedulingGates=[{"name": "example.com/wait"}]),
    ]
    items = {"apiVersion": "v1", "kind": "List", "items": pods}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(items))
    cluster.wait("pod/spread-1", "condition=Ready", "-n", namespace)
    second = sleeper("spread-2", labels={"app": "spread"}, topologySpreadConstraints=[spread])
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(second))
    expected = {
        "huge": f"1 Insufficient cpu. {HELPLESS}",
        "elsewhere": f"1 node(s) didn't match Pod's node affinity/selector. {HELPLESS}",
        "spread-2": f"1 node(s) didn't match pod topology spread constraints. {NO_VICTIMS}",
        "claimless": 'persistentvolumeclaim "absent" not found. not found',
    }
    assert {name: f"{NO_NODES}: {why}" for name, why in expected.items()} == {
        name: reason(cluster, namespace, name) for name in expected
    }
    assert "SchedulingGated" in cluster.kubectl("get", "pod", "gated", "-n", namespace)
    gates = json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}])
    cluster.kubectl("patch", "pod", "gated", "-n", namespace, "--type=json", "-p", gates)
    cluster.wait("pod/gated", "condition=Ready", "-n", namespace)
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    cluster.kubectl("label", "node", node, "disk=ssd")
    try:
        cluster.wait("pod/elsewhere", "condition=Ready", "-n", namespace)
    finally:
        cluster.kubectl("label", "node", node, "disk-")


def test_an_urgent_pod_takes_the_room_of_another(cluster: Cluster, namespace: str) -> None:
    """On a node that is full a pod of a higher class gets the room of a lower one, which is told why."""
    name, host = f"urgent-{namespace}"[:60].rstrip("-"), cluster.get("nodes")["items"][0]
    cluster.kubectl("create", "priorityclass", name, "--value=1000")
    try:
        allocatable = host["status"]["allocatable"]["cpu"]
        millis = int(allocatable[:-1]) if allocatable.endswith("m") else int(allocatable) * 1000
        most = f"{millis * 6 // 10}m"
        cluster.kubectl(
            "apply", "-n", namespace, "-f", "-", input=json.dumps(sleeper("low", cpu=most, grace=1))
        )
        cluster.wait("pod/low", "condition=Ready", "-n", namespace)
        urgent = sleeper("high", cpu=most, priorityClassName=name)
        cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(urgent))
        cluster.wait("pod/high", "condition=Ready", "-n", namespace)
        cluster.kubectl("wait", "pod/low", "--for=delete", "-n", namespace, "--timeout=60s")
        uid = cluster.get("pod", "high", "-n", namespace)["metadata"]["uid"]
        where = host["metadata"]["name"]
        told = cluster.kubectl(
            "get", "events", "-n", namespace, "--field-selector", "reason=Preempted", "-o", f"jsonpath={EVENT}"
        )
        assert told == f"Preempted by pod {uid} on node {where}"
    finally:
        cluster.kubectl("delete", "priorityclass", name)
