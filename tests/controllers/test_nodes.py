"""Nodes end to end in virtual time: lost and found again, eviction, pod garbage collection, pod ranges."""

from typing import Any

from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, condition, dig, is_deleting, key_of, micro_timestamp


def web(replicas: int = 2) -> Obj:
    labels = {"app": "web"}
    tolerations = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for key in ("not-ready", "unreachable")
    ]
    spec = {"containers": [{"name": "main", "image": "ok"}], "tolerations": tolerations}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def taints(world: Any, node: str) -> list[tuple[str, str]]:
    return sorted((t["key"], t["effect"]) for t in dig(world.the(Node, node), "spec.taints", []))


def on(world: Any, node: str) -> list[Obj]:
    return [pod for pod in world.pods() if dig(pod, "spec.nodeName") == node]


async def test_a_lost_node_is_evicted_and_heals(world: Any) -> None:
    """A silent node is unknown after 40 s, its pods leave 300 s later, and it is in service when it returns."""
    await world.add_node("n1")
    await world.create(Deployment, web())
    await world.add_node("n2")
    world.beating.discard("n1")
    world.agent.silent.add("n1")
    await world.pass_time(35)
    assert taints(world, "n1") == []
    await world.pass_time(10)
    ready = condition(world.the(Node, "n1"), "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    lost = ("node.kubernetes.io/unreachable", "NoExecute"), ("node.kubernetes.io/unreachable", "NoSchedule")
    assert taints(world, "n1") == list(lost)
    assert {condition(pod, "Ready")["status"] for pod in on(world, "n1")} == {"False"}
    assert world.events("NodeNotReady")[0] == "Node n1 status is now: NodeNotReady"
    await world.pass_time(280)
    assert (len(on(world, "n2")), any(map(is_deleting, on(world, "n1")))) == (0, False)
    await world.pass_time(30)
    assert (len(on(world, "n2")), all(map(is_deleting, on(world, "n1")))) == (2, True)
    world.beating.add("n1")
    world.agent.silent.clear()
    for pod in on(world, "n1"):
        world.agent.queue.add(key_of(pod))
    await world.pass_time(11)
    assert (taints(world, "n1"), on(world, "n1"), len(on(world, "n2"))) == ([], [], 2)


async def test_quiet_nodes_are_not_reconciled(world: Any) -> None:
    """While nodes renew their Leases and nothing else happens, no controller has anything to do."""
    for name in ("n1", "n2"):
        await world.add_node(name)
    await world.create(Deployment, web())
    await world.pass_time(30)
    world.beating.clear()  # the nodes' status stays as it is
    before = {one.name: one.metrics.runs for one in world.manager.controllers}
    for _ in range(12):
        renewed = {"spec": {"renewTime": micro_timestamp(world.clock.now())}}
        for name in ("n1", "n2"):
            await world.patch(Lease, name, renewed, "kube-node-lease")
        await world.pass_time(10)
    assert {one.name: one.metrics.runs for one in world.manager.controllers} == before


async def test_conditions_become_taints(world: Any) -> None:
    """Pressure and cordoning show as NoSchedule taints, beside those that others set."""
    own = {"key": "own", "effect": "NoSchedule"}
    await world.add_node("n1", taints=[own])
    await world.patch(Node, "n1", {"spec": {"unschedulable": True}})
    assert taints(world, "n1") == [
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
        ("own", "NoSchedule"),
    ]
    await world.patch(Node, "n1", {"spec": {"unschedulable": None}})
    assert taints(world, "n1") == [("own", "NoSchedule")]


async def test_a_taint_evicts_at_once(world: Any) -> None:
    """A NoExecute taint that a pod does not tolerate removes it, with a DisruptionTarget condition."""
    await world.add_node("n1")
    pod = {"metadata": {"name": "one", "namespace": "default"}}
    await world.create(Pod, {**pod, "spec": {"containers": [{"name": "main", "image": "ok"}]}})
    assert len(on(world, "n1")) == 1
    await world.patch(Node, "n1", {"spec": {"taints": [{"key": "out", "effect": "NoExecute"}]}})
    assert world.pods() == []
    assert world.events("TaintManagerEviction") == ["Marking for deletion Pod default/one"]


async def test_a_tolerated_time_ends(world: Any) -> None:
    """A pod that tolerates a taint for a time leaves after it, also where the taint has no timeAdded; a taint
    that is taken back in time does nothing but cancel."""
    await world.add_node("n1")
    out = {"key": "out", "effect": "NoExecute"}
    spec = {
        "containers": [{"name": "main", "image": "ok"}],
        "tolerations": [{**out, "operator": "Exists", "tolerationSeconds": 5}],
    }
    await world.create(Pod, {"metadata": {"name": "one", "namespace": "default"}, "spec": spec})
    await world.patch(Node, "n1", {"spec": {"taints": [out]}})
    await world.pass_time(3)
    await world.patch(Node, "n1", {"spec": {"taints": None}})
    await world.pass_time(10)
    assert world.names(Pod) == ["one"]
    await world.patch(Node, "n1", {"spec": {"taints": [out]}})
    await world.pass_time(4)
    assert world.names(Pod) == ["one"]
    await world.pass_time(2)
    assert world.names(Pod) == []
    assert world.events("TaintManagerEviction") == [
        "Cancelling deletion of Pod default/one",
        "Marking for deletion Pod default/one",
    ]


async def test_pods_of_a_removed_node_go(world: Any) -> None:
    """A deleted node's pods are removed after 40 s, and their owner makes new ones elsewhere."""
    await world.add_node("n1")
    await world.create(Deployment, web())
    await world.add_node("n2")
    world.beating.discard("n1")
    world.agent.silent.add("n1")
    await world.delete(Node, "n1")
    await world.pass_time(35)
    assert len(on(world, "n1")) == 2
    await world.pass_time(10)
    assert (len(on(world, "n1")), len(on(world, "n2"))) == (0, 2)


async def test_nodes_get_pod_ranges(world: Any) -> None:
    """Each node gets its own part of the cluster's pod addresses."""
    for name in ("n1", "n2"):
        await world.add_node(name)
    await world.delete(Node, "n1")
    await world.add_node("n3")
    assert [dig(world.the(Node, name), "spec.podCIDR") for name in ("n2", "n3")] == [
        "10.244.1.0/24",
        "10.244.0.0/24",
    ]


async def test_nodes_that_come_and_go_are_told(world: Any) -> None:
    """Each node has an event of the node controller when it is first seen, and one when it is gone."""
    await world.add_node("n1")
    await world.delete(Node, "n1", "")
    told = [world.events(reason) for reason in ("RegisteredNode", "RemovingNode")]
    assert told == [
        ["Node n1 event: Registered Node n1 in Controller"],
        ["Node n1 event: Removing Node n1 from Controller"],
    ]
