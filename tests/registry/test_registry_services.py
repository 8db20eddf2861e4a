"""Services: addresses and node ports are given, kept, refused and freed."""

import asyncio
import ipaddress
from typing import Any

import pytest
from registry_objects import CONTEXT

from minikube_py.aio.clock import SystemClock
from minikube_py.errors import InternalError, Invalid
from minikube_py.kinds.core.service import Service
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.base import ClusterFacts, DeleteOptions
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.ranges import Pool, RangeFull, address_pool, port_pool
from minikube_py.registry.resource import Registry
from minikube_py.store.memory import MemoryStore


def service(**spec: Any) -> Obj:
    return {"spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "web"}, **spec}}


async def update(registry: Registry, name: str, **spec: Any) -> Obj:
    changed = copy(registry.decoded(registry.get(Service, "default", name)))
    changed["spec"].update(spec)
    changed["spec"] = {key: value for key, value in changed["spec"].items() if value is not None}
    entry, _ = await registry.update(Service, "default", name, changed, CONTEXT)
    return registry.decoded(entry)["spec"]


async def test_cluster_ip_is_given(create: Any) -> None:
    """A Service gets an address of the range's upper band, and the fields that go with it."""
    spec = (await create(Service, "a", service()))["spec"]
    address = ipaddress.ip_address(spec["clusterIP"])
    assert address in ipaddress.ip_network("10.96.0.0/12")
    assert int(address) - int(ipaddress.ip_address("10.96.0.1")) >= 256
    assert (spec["clusterIPs"], spec["ipFamilies"], spec["ipFamilyPolicy"]) == (
        [spec["clusterIP"]],
        ["IPv4"],
        "SingleStack",
    )
    assert "nodePort" not in spec["ports"][0]


async def test_headless_and_external_names_have_none(create: Any) -> None:
    """None stays None; an ExternalName has no address at all."""
    headless = (await create(Service, "a", service(clusterIP="None")))["spec"]
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    external = (await create(Service, "b", {"spec": {"type": "ExternalName", "externalName": "example.com"}}))[
        "spec"
    ]
    assert [key for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy") if key in external] == []


async def test_asked_address_is_given_once(registry: Registry, create: Any) -> None:
    """A free address that is asked for is given; a taken one is refused until its holder is gone."""
    await create(Service, "dns", service(clusterIP="10.96.0.10"))
    with pytest.raises(Invalid) as refused:
        await create(Service, "other", service(clusterIP="10.96.0.10"))
    assert refused.value.message == (
        'Service "other" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: '
        "failed to allocate IP 10.96.0.10: provided IP is already allocated"
    )
    await registry.delete(Service, "default", "dns", DeleteOptions(), CONTEXT)
    await create(Service, "other", service(clusterIP="10.96.0.10"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"clusterIP": "192.168.0.1"}, "the provided network does not match the current range"),
        ({"clusterIP": "x"}, 'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address'),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        ({"ipFamilies": ["IPv5"]}, 'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4"'),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
            "this cluster is not configured for dual-stack services",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 99}]},
            "provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
    ],
)
async def test_what_cannot_be_given(registry: Registry, create: Any, spec: Obj, message: str) -> None:
    """Addresses, families and ports that the cluster does not have are refused, and nothing is kept."""
    with pytest.raises(Invalid) as refused:
        await create(Service, "a", service(**spec))
    assert message in refused.value.message
    await create(Service, "a", service())


async def test_node_ports(registry: Registry, create: Any) -> None:
    """NodePorts are given above the static band, kept on update, refused when taken, freed by a deletion."""
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30007}]
    spec = (await create(Service, "a", service(type="NodePort", ports=ports)))["spec"]
    given, asked = (port["nodePort"] for port in spec["ports"])
    assert (given >= 30086, asked) == (True, 30007)
    with pytest.raises(Invalid) as refused:
        await create(Service, "b", service(type="NodePort", ports=[{"port": 80, "nodePort": 30007}]))
    assert (
        "spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated"
        in refused.value.message
    )
    kept = await update(registry, "a", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])
    assert [port["nodePort"] for port in kept["ports"]] == [given, 30007]
    await registry.delete(Service, "default", "a", DeleteOptions(), CONTEXT)
    await create(Service, "b", service(type="NodePort", ports=[{"port": 80, "nodePort": 30007}]))


async def test_one_port_by_two_protocols_shares_its_node_port(create: Any) -> None:
    """TCP and UDP of one port number get one node port."""
    ports = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec = (await create(Service, "dns", service(type="NodePort", ports=ports)))["spec"]
    assert len({port["nodePort"] for port in spec["ports"]}) == 1


async def test_type_changes_free_what_they_drop(registry: Registry, create: Any) -> None:
    """Back to ClusterIP the node port is free again; to ExternalName the address is."""
    await create(
        Service, "a", service(type="NodePort", clusterIP="10.96.0.77", ports=[{"port": 80, "nodePort": 30009}])
    )
    await update(registry, "a", type="ClusterIP", ports=[{"port": 80}])
    await create(Service, "b", service(type="NodePort", ports=[{"port": 80, "nodePort": 30009}]))
    gone = {"clusterIP": None, "clusterIPs": None, "ipFamilies": None, "ipFamilyPolicy": None}
    await update(
        registry, "a", type="ExternalName", externalName="example.com", internalTrafficPolicy=None, **gone
    )
    await create(Service, "c", service(clusterIP="10.96.0.77"))


async def test_health_check_port(create: Any) -> None:
    """A LoadBalancer of local traffic gets a port for its health checks."""
    spec = (await create(Service, "a", service(type="LoadBalancer", externalTrafficPolicy="Local")))["spec"]
    assert 30000 <= spec["healthCheckNodePort"] <= 32767
    assert spec["healthCheckNodePort"] != spec["ports"][0]["nodePort"]


async def test_simultaneous_services_differ(registry: Registry, create: Any) -> None:
    """A hundred Services made at once have a hundred addresses and node ports."""
    made = await asyncio.gather(*(create(Service, f"s{n}", service(type="NodePort")) for n in range(100)))
    assert len({one["spec"]["clusterIP"] for one in made}) == 100
    assert len({one["spec"]["ports"][0]["nodePort"] for one in made}) == 100


async def test_allocations_are_rebuilt_from_the_store() -> None:
    """A registry over a store that has Services knows what they hold; a full range says so."""
    store, facts = MemoryStore(), ClusterFacts(service_cidr="10.0.0.0/29", node_port_range=(30000, 30001))
    first = Registry(store, Catalogue([Service]), facts, SystemClock())

    async def make(registry: Registry, name: str, **spec: Any) -> Obj:
        body = {"metadata": {"name": name}, **service(**spec)}
        return registry.decoded(await registry.create(Service, "default", body, CONTEXT))["spec"]

    held = [await make(first, f"s{number}") for number in range(5)]
    first.close()
    second = Registry(store, Catalogue([Service]), facts, SystemClock())
    held.append(await make(second, "s5"))
    assert {spec["clusterIP"] for spec in held} == {f"10.0.0.{number}" for number in range(1, 7)}
    with pytest.raises(InternalError) as refused:
        await make(second, "s6")
    assert "range is full" in refused.value.message
    await second.delete(Service, "default", "s1", DeleteOptions(), CONTEXT)
    assert (await make(second, "s6"))["clusterIP"] == held[1]["clusterIP"]


@pytest.mark.parametrize(
    ("pool", "dynamic"),
    [
        (address_pool("10.96.0.0/12"), 256),
        (address_pool("10.0.0.0/24"), 16),
        (address_pool("10.0.0.0/28"), 0),
        (port_pool(30000, 32767), 86),
        (port_pool(30000, 30010), 0),
    ],
)
def test_static_bands(pool: Pool, dynamic: int) -> None:
    """The lower band is left alone while the upper one has room."""
    picked = [pool.pick() for _ in range(50)]
    assert min(picked) >= pool.low + dynamic
    assert max(picked) <= pool.high


def test_lower_band_is_the_reserve() -> None:
    """Once the upper band is taken the lower one is given; then the range is full."""
    pool = Pool(1, 40, 16)
    order = []
    for _ in range(40):
        order.append(pool.pick())
        pool.hold(order[-1])
    assert (min(order[:24]), sorted(order)) == (17, list(range(1, 41)))
    with pytest.raises(RangeFull):
        pool.pick()
