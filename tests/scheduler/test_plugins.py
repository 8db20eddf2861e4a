"""Each scheduler plugin by a table: what it refuses, in which words, and what it prefers."""

from typing import Any

import pytest
from builders import node, node_info, pod_info

from minikube_py.scheduler.framework import SKIP, Plugin
from minikube_py.scheduler.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from minikube_py.scheduler.plugins.dynamic_resources import DynamicResources
from minikube_py.scheduler.plugins.image_locality import ImageLocality, normalized_name
from minikube_py.scheduler.plugins.node_affinity import NodeAffinity
from minikube_py.scheduler.plugins.node_name import NodeName
from minikube_py.scheduler.plugins.node_ports import NodePorts, conflicts
from minikube_py.scheduler.plugins.node_resources_fit import NodeResourcesFit
from minikube_py.scheduler.plugins.node_unschedulable import NodeUnschedulable
from minikube_py.scheduler.plugins.taint_toleration import TaintToleration
from minikube_py.scheduler.podinfo import requests_of
from minikube_py.scheduler.snapshot import Snapshot

TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
BY_NAME = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
AFFINITY = "node(s) didn't match Pod's node affinity/selector"


def required(*terms: Any) -> dict[str, Any]:
    wanted = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("plugin", "spec", "on", "expected"),
    [
        (NodeUnschedulable(), {}, {"unschedulable": True}, ("node(s) were unschedulable",)),
        (NodeUnschedulable(), {"tolerations": [{"operator": "Exists"}]}, {"unschedulable": True}, None),
        (NodeName(), {"nodeName": "other"}, {}, ("node(s) didn't match the requested node name",)),
        (NodeName(), {"nodeName": "n1"}, {}, None),
        (DynamicResources(), {}, {}, None),
        (TaintToleration(), {}, {"taints": [TAINT]}, ("node(s) had untolerated taint {gpu: yes}",)),
        (TaintToleration(), {"tolerations": [{"key": "gpu", "value": "yes"}]}, {"taints": [TAINT]}, None),
        (TaintToleration(), {"tolerations": [{"key": "gpu", "operator": "Exists"}]}, {"taints": [TAINT]}, None),
        (
            TaintToleration(),
            {"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoExecute"}]},
            {"taints": [TAINT]},
            ("node(s) had untolerated taint {gpu: yes}",),
        ),
        (TaintToleration(), {}, {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}, None),
        (NodeAffinity(), {"nodeSelector": {"disk": "ssd"}}, {}, (AFFINITY,)),
        (NodeAffinity(), {"nodeSelector": {"disk": "ssd"}}, {"labels": {"disk": "ssd"}}, None),
        (NodeAffinity(), {"affinity": required(expression("z", "In", "a", "b"))}, {"labels": {"z": "b"}}, None),
        (NodeAffinity(), {"affinity": required(expression("z", "NotIn", "a"))}, {}, None),
        (NodeAffinity(), {"affinity": required(expression("z", "Exists"))}, {}, (AFFINITY,)),
        (NodeAffinity(), {"affinity": required(expression("n", "Gt", "5"))}, {"labels": {"n": "6"}}, None),
        (
            NodeAffinity(),
            {"affinity": required(expression("n", "Lt", "5"))},
            {"labels": {"n": "x"}},
            (AFFINITY,),
        ),
        (NodeAffinity(), {"affinity": required({}, expression("z", "DoesNotExist"))}, {}, None),
        (
            NodeAffinity(),
            {
                "affinity": required(
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
                )
            },
            {},
            None,
        ),
        (NodeResourcesFit(), {"cpu": "3", "memory": "5Gi"}, {}, ("Insufficient cpu", "Insufficient memory")),
        (NodeResourcesFit(), {"cpu": "2"}, {}, None),
        (NodeResourcesFit(), {}, {"pods": 0}, ("Too many pods",)),
    ],
)
def test_filter(plugin: Plugin, spec: Any, on: Any, expected: tuple[str, ...] | None) -> None:
    """A node is refused with upstream's words, or taken."""
    pod = pod_info("p", **spec)
    prepared = plugin.prepare(pod, Snapshot())
    refusal = None if prepared is SKIP else plugin.filter(pod, node_info("n1", **on), prepared)
    assert expected == (refusal and refusal.reasons)


def test_room_shrinks_with_pods() -> None:
    """What pods on a node ask for is no longer free, and is again when they go."""
    there, wanted = node_info("n1", cpu="2"), pod_info("b", cpu="1500m")
    there.add(pod_info("a", cpu="1"))
    refusal = NodeResourcesFit().filter(wanted, there, None)
    assert (refusal and refusal.reasons) == ("Insufficient cpu",)
    there.remove("uid-a")
    assert NodeResourcesFit().filter(wanted, there, None) is None


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (("0.0.0.0", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
        (("10.0.0.2", "TCP", 80), ("10.0.0.1", "TCP", 80), False),
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "UDP", 80), False),
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 81), False),
    ],
)
def test_host_ports_conflict(left: Any, right: Any, expected: bool) -> None:
    """The same port and protocol conflict on the same address, or if one is on all."""
    assert expected == conflicts(left, right)


def test_used_host_port_is_refused() -> None:
    """A node whose port is taken refuses a second pod that wants it."""
    node, wanted = node_info("n1"), pod_info("b", port=8080)
    node.add(pod_info("a", port=8080))
    refusal = NodePorts().filter(wanted, node, NodePorts().prepare(wanted, Snapshot()))
    assert (refusal and refusal.reasons) == ("node(s) didn't have free ports for the requested pod ports",)


def test_requests_follow_the_largest_step() -> None:
    """Init steps count by their largest, beside the sidecars started before; overhead is added."""

    def container(cpu: str, **rest: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **rest}

    spec = {
        "containers": [container("100m"), container("200m")],
        "initContainers": [container("50m", restartPolicy="Always"), container("400m")],
        "overhead": {"cpu": "10m"},
    }
    assert requests_of(spec) == {"cpu": 460}


def test_emptier_and_balanced_nodes_score_higher() -> None:
    """LeastAllocated prefers room, BalancedAllocation an even use of CPU and memory."""
    pod = pod_info("p", cpu="1", memory="2Gi")
    full, empty, lopsided = node_info("f"), node_info("e"), node_info("l", memory="64Gi")
    full.add(pod_info("a", cpu="1", memory="2Gi"))
    fit, balanced = NodeResourcesFit(), NodeResourcesBalancedAllocation()
    assert [fit.score(pod, node, None) for node in (full, empty)] == [0, 50]
    assert [balanced.score(pod, node, None) for node in (empty, lopsided)] == [100, 76]


def test_image_locality_prefers_the_node_with_the_image() -> None:
    """A large image at hand is worth points, by its name with the default tag."""
    snapshot = Snapshot()
    having, lacking = node("n1"), node("n2")
    having["status"]["images"] = [{"names": ["web:latest"], "sizeBytes": 2_000_000_000}]
    snapshot.put_node(having)
    snapshot.put_node(lacking)
    pod = pod_info("p")
    pod.pod["spec"]["containers"][0]["image"] = "web"
    plugin = ImageLocality()
    prepared = plugin.prepare(pod, snapshot)
    assert [plugin.score(pod, node, prepared) for node in snapshot.nodes] == [95, 0]
    assert normalized_name("r:5000/web") == "r:5000/web:latest"
