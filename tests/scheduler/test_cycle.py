"""The scheduling decision: sampling, rotation, scores and the message of a refusal."""

import random

import pytest
from builders import node, pod, pod_info

from minikube_py.kinds.core.node import ZONE
from minikube_py.scheduler.configuration import Profile, plugins_of
from minikube_py.scheduler.cycle import Cycle, Placement, Unschedulable, sample_size
from minikube_py.scheduler.framework import normalized
from minikube_py.scheduler.podinfo import PodReader
from minikube_py.scheduler.snapshot import Snapshot


def snapshot(count: int, **rest: object) -> Snapshot:
    nodes = Snapshot()
    for number in range(count):
        nodes.put_node(node(f"n{number}", **rest))  # type: ignore[arg-type]
    return nodes


@pytest.mark.parametrize(
    ("nodes", "percentage", "expected"),
    [
        (1, 0, 1),
        (100, 0, 100),
        (150, 0, 100),
        (1000, 0, 100),
        (5000, 0, 250),
        (10000, 0, 500),
        (100, 10, 100),
        (1000, 5, 100),
        (1000, 30, 300),
        (1000, 100, 1000),
    ],
)
def test_sample_size(nodes: int, percentage: int, expected: int) -> None:
    """A hundred feasible nodes are enough, or 5% of them, unless another share is configured."""
    assert expected == sample_size(nodes, percentage)


def test_a_configured_share_is_looked_at() -> None:
    """A profile's percentage decides how many feasible nodes are enough."""
    decision = Cycle(plugins_of(Profile()), random.Random(1), 40).decide(pod_info("p"), snapshot(300))
    assert isinstance(decision, Placement)
    assert decision.examined == 120


@pytest.mark.parametrize(
    ("how", "raw", "expected"),
    [("", [3, 9], [3, 9]), ("max", [0, 5, 10], [0, 50, 100]), ("reverse", [0, 5, 10], [100, 50, 0])],
)
def test_normalized(how: str, raw: list[int], expected: list[int]) -> None:
    """Raw scores are brought to 0..100, the best at the end the plugin says."""
    assert expected == normalized(raw, how)


def test_pods_spread_over_equal_nodes() -> None:
    """Each pod goes where there is most room, so that equal nodes fill evenly."""
    nodes, cycle = snapshot(4), Cycle(plugins_of(Profile()), random.Random(1))
    for number in range(8):
        pod = pod_info(f"p{number}", cpu="100m", memory="100Mi")
        decision = cycle.decide(pod, nodes)
        assert isinstance(decision, Placement)
        nodes.put_pod(pod, decision.node)
    assert [len(info.pods) for info in nodes.nodes] == [2, 2, 2, 2]


def test_search_goes_on_where_it_ended() -> None:
    """On many nodes each search takes up the next part of them."""
    nodes, cycle = snapshot(300), Cycle(plugins_of(Profile()), random.Random(1))
    enough, begin = sample_size(300), 0
    for number in range(4):
        decision = cycle.decide(pod_info(f"p{number}"), nodes)
        assert isinstance(decision, Placement)
        assert enough == decision.examined
        assert (int(decision.node[1:]) - begin) % 300 in range(enough)
        begin += enough


def test_refusal_names_every_reason_with_its_count() -> None:
    """The message counts each reason over the nodes, in a stable order."""
    nodes = snapshot(2, cpu="1")
    nodes.put_node(node("t", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    decision = Cycle(plugins_of(Profile())).decide(pod_info("p", cpu="4"), nodes)
    assert isinstance(decision, Unschedulable)
    refusals = "1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu"
    assert decision.message == f"0/3 nodes are available: {refusals}."
    assert {"NodeResourcesFit", "TaintToleration"} == {type(plugin).__name__ for plugin in decision.plugins}


def test_no_nodes_at_all() -> None:
    """An empty cluster says so."""
    decision = Cycle(plugins_of(Profile())).decide(pod_info("p"), Snapshot())
    assert isinstance(decision, Unschedulable)
    assert decision.message == "no nodes available to schedule pods"


def test_a_bound_pod_has_the_shape_it_was_decided_by() -> None:
    """What is kept of a template on a node survives the binding, as the node's name is no part of a shape."""
    reader = PodReader()
    before, after = reader.read(pod("p", cpu="1")), reader.read(pod("p", cpu="1", nodeName="n1"))
    assert before.shape is after.shape
    assert before.shape is not reader.read(pod("p", cpu="2")).shape


def test_nodes_of_all_zones_take_turns() -> None:
    """However the nodes came, any stretch of them is of all zones; a node that moves to another zone counts."""
    nodes = Snapshot()
    for number in range(6):
        nodes.put_node(node(f"n{number}", labels={ZONE: f"z{number // 3}"}))
    assert [info.name for info in nodes.turns] == ["n0", "n3", "n1", "n4", "n2", "n5"]
    nodes.put_node(node("n0", labels={ZONE: "z2"}))
    assert [info.name for info in nodes.turns] == ["n0", "n1", "n3", "n2", "n4", "n5"]
