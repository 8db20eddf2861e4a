"""Endpoints that are shared out to zones by the CPU of their nodes."""

from collections import Counter
from typing import Any

import pytest

from minikube_py.controllers.topologyhints import (
    NO_NODE_INFO,
    NO_ZONE,
    TOO_FEW,
    UNBALANCED,
    asks_for_zones,
    capacity,
    share_out,
    zone_shares,
)
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.meta.objects import Key, Obj, dig

MODE = "service.kubernetes.io/topology-mode"
ZONE = "topology.kubernetes.io/zone"


def node(zone: str, cpu: str = "2", ready: str = "True", **labels: str) -> Obj:
    meta = {"name": "n", "labels": {**({ZONE: zone} if zone else {}), **labels}}
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": meta, "status": {"allocatable": {"cpu": cpu}, "conditions": conditions}}


def entry(zone: str, ready: bool = True) -> Obj:
    return {"conditions": {"ready": ready}} | ({"zone": zone} if zone else {})


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, False),
        ({MODE: "Auto"}, True),
        ({MODE: "auto"}, True),
        ({MODE: "Disabled"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "disabled", MODE: "Auto"}, False),
    ],
)
def test_which_services_ask(annotations: dict[str, str], expected: bool) -> None:
    """The annotation is Auto; the older one counts first."""
    assert expected == asks_for_zones({"metadata": {"annotations": annotations}})


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("a"), node("b", "6")], {"a": 0.25, "b": 0.75}),
        ([node("a"), node("a"), node("b"), node("c", ready="Unknown")], {"a": 2 / 3, "b": 1 / 3}),
        ([node("a"), node("b"), node("")], {}),
        ([node("a"), node("b", "0")], {}),
        ([node("a"), node("a")], {}),
        (
            [node("a"), node("b"), node("", **{"node-role.kubernetes.io/control-plane": ""})],
            {"a": 0.5, "b": 0.5},
        ),
    ],
    ids=["two", "not-ready", "no-zone", "no-cpu", "one", "control-plane"],
)
def test_zone_shares(nodes: list[Obj], expected: dict[str, float]) -> None:
    """The CPU of ready workers decides, where every one of them tells its zone."""
    assert expected == zone_shares(nodes)
    assert capacity(None) is None


EVEN = {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("endpoints", "shares", "expected"),
    [
        ([entry("a"), entry("b")], EVEN, ["a", "b"]),
        ([entry("a"), entry("b"), entry("a", False)], EVEN, ["a", "b", ""]),
        ([entry("a")] * 3 + [entry("b")], EVEN, ["b", "a", "a", "b"]),
        ([entry("a")] * 4, EVEN, ["b", "b", "a", "a"]),
        ([entry("c")] * 2, EVEN, ["c", "c"]),
        ([entry("a")], EVEN, f"{TOO_FEW} (1 endpoints, 2 zones)"),
        ([entry("a")] * 3, EVEN, f"{UNBALANCED} (3 endpoints, 2 zones)"),
        ([entry("a"), entry("")], EVEN, NO_ZONE),
        ([entry("a"), entry("b")], {}, NO_NODE_INFO),
    ],
    ids=["even", "not-ready", "moved", "all-in-one", "foreign", "few", "unbalanced", "no-zone", "no-nodes"],
)
def test_share_out(endpoints: list[Obj], shares: dict[str, float], expected: list[str] | str) -> None:
    """Endpoints stay in their zone as far as every zone gets its share; else the reason is told."""
    assert expected == share_out(endpoints, shares)


async def backends(world: Any, number: int) -> None:
    """Two workers in two zones, and pods `app: web`, which run on the first."""
    for name, zone in (("n1", "a"), ("n2", "b")):
        await world.add_node(name)
        await world.patch(Node, name, {"metadata": {"labels": {ZONE: zone}}})
        status = {"status": {"allocatable": {"cpu": "2"}}}
        await world.api.patch(Node, Key("", name), status, subresource="status")
    spec = {"containers": [{"name": "main", "image": "ok:1"}]}
    for count in range(number):
        meta = {"name": f"web-{count}", "namespace": "default", "labels": {"app": "web"}}
        await world.create(Pod, {"metadata": meta, "spec": spec})


def hinted(world: Any) -> Counter[str]:
    """How many endpoints are for each zone."""
    entries = [e for s in world.cache.list(EndpointSlice, "default") for e in s["endpoints"]]
    return Counter(zone["name"] for e in entries for zone in dig(e, "hints.forZones") or ())


async def test_hints_come_and_go(world: Any) -> None:
    """Hints follow the annotation and the nodes; events tell when they begin, end, and why they cannot be."""
    await backends(world, 4)
    meta = {"name": "web", "namespace": "default", "annotations": {MODE: "Auto"}}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}], "trafficDistribution": "PreferClose"}
    await world.create(Service, {"metadata": meta, "spec": spec})
    assert hinted(world) == {"a": 2, "b": 2}
    assert world.events("TopologyAwareHintsEnabled") == [
        "Topology Aware Hints has been enabled, addressType: IPv4"
    ]
    await world.patch(Node, "n2", {"metadata": {"labels": {ZONE: None}}})
    assert hinted(world) == {}
    await world.patch(Node, "n2", {"metadata": {"labels": {ZONE: "b"}}})
    assert hinted(world) == {"a": 2, "b": 2}
    await world.patch(Service, "web", {"metadata": {"annotations": {MODE: None}}})
    assert hinted(world) == {"a": 4}
    assert sorted(set(world.events("TopologyAwareHintsDisabled"))) == [
        f"{NO_NODE_INFO}, addressType: IPv4",
        "Topology Aware Hints has been disabled, addressType: IPv4",
    ]
