"""Addresses of Services of type LoadBalancer: the choice as a table, giving and taking in virtual time."""

from typing import Any

import pytest

from minikube_py.controllers.serviceloadbalancer import NoAddress, ServiceLoadBalancer, address_for
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Key, Obj, dig

POOL = "10.254.0.0/30"  # two addresses


def a_service(name: str = "web", *, ip: str = "", born: str = "2026-01-02T00:00:00Z", **spec: Any) -> Obj:
    service: Obj = {
        "metadata": {"name": name, "namespace": "default", "uid": name, "creationTimestamp": born},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]} | spec,
    }
    if ip:
        service["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}
    return service


OLD, YOUNG = a_service("old", born="2026-01-01T00:00:00Z"), a_service("young", born="2026-01-03T00:00:00Z")


@pytest.mark.parametrize(
    ("service", "taken", "expected"),
    [
        (a_service(), {}, "10.254.0.1"),
        (a_service(), {"10.254.0.1": OLD}, "10.254.0.2"),
        (a_service(ip="10.254.0.2"), {}, "10.254.0.2"),
        (a_service(ip="10.254.0.1"), {"10.254.0.1": YOUNG}, "10.254.0.1"),
        (a_service(ip="10.254.0.1"), {"10.254.0.1": OLD}, "10.254.0.2"),
        (a_service(loadBalancerIP="10.254.0.2"), {}, "10.254.0.2"),
    ],
)
def test_which_address(service: Obj, taken: dict[str, Obj], expected: str) -> None:
    """A Service keeps its address, or gets the one it asks for, or the first free one."""
    assert address_for(service, taken, POOL) == expected


@pytest.mark.parametrize(
    ("service", "taken", "expected"),
    [
        (a_service(), {"10.254.0.1": OLD, "10.254.0.2": OLD}, "no address is free in the pool 10.254.0.0/30"),
        (a_service(loadBalancerIP="1.2.3.4"), {}, "the address 1.2.3.4 is not in the pool 10.254.0.0/30"),
        (
            a_service(loadBalancerIP="10.254.0.2"),
            {"10.254.0.2": OLD},
            "the address 10.254.0.2 is already in use",
        ),
        (a_service(ipFamilies=["IPv6"]), {}, "the pool 10.254.0.0/30 has no IPv6 addresses"),
    ],
)
def test_why_no_address(service: Obj, taken: dict[str, Obj], expected: str) -> None:
    """Where there is no address for a Service, it is said why."""
    with pytest.raises(NoAddress, match=expected.replace(".", r"\.")):
        address_for(service, taken, POOL)


def addresses(world: Any) -> dict[str, Any]:
    found = {one["metadata"]["name"]: dig(one, "status.loadBalancer") for one in world.cache.list(Service)}
    return {name: dig(balancer, "ingress") for name, balancer in found.items()}


async def test_addresses_come_and_go(pooled: Any) -> None:
    """Services get addresses while there are any; one that is freed goes to the Service that waits for it."""
    for name in ("a", "b", "c"):
        await pooled.create(Service, a_service(name))
    one, two = ([{"ip": f"10.254.0.{n}", "ipMode": "VIP"}] for n in (1, 2))
    assert addresses(pooled) == {"a": one, "b": two, "c": None}
    failed = "Error syncing load balancer: failed to ensure load balancer: no address is free in the pool "
    assert pooled.events("SyncLoadBalancerFailed") == [failed + POOL]
    await pooled.patch(Service, "a", {"spec": {"type": "ClusterIP"}})
    assert addresses(pooled) == {"a": None, "b": two, "c": one}
    await pooled.delete(Service, "c")
    await pooled.create(Service, a_service("d", loadBalancerClass="example.com/other"))
    assert addresses(pooled) == {"a": None, "b": two, "d": None}
    assert pooled.events("EnsuredLoadBalancer") == ["Ensured load balancer"] * 3


async def test_what_others_balance_is_left_alone(pooled: Any) -> None:
    """An address that someone else has written stays."""
    await pooled.create(Service, a_service("a"))
    theirs = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}}
    await pooled.api.patch(Service, Key("default", "a"), theirs, subresource="status")
    await pooled.settle()
    assert addresses(pooled) == {"a": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}


@pytest.fixture
def pooled(world: Any) -> Any:
    """The cluster in virtual time, with a pool."""
    controller = world.controller(ServiceLoadBalancer)
    controller.config = type(controller.config)(load_balancer_pool=POOL)
    return world
