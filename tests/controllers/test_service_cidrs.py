"""Further ServiceCIDRs: addresses are taken from them, and they stay while addresses of them are in use."""

from typing import Any

import pytest

from minikube_py.kinds.core.service import Service
from minikube_py.kinds.networking.ipaddress import IPAddress
from minikube_py.kinds.networking.servicecidr import FINALIZER, ServiceCIDR
from minikube_py.meta.objects import Obj, condition, is_deleting

EXTRA = "10.112.0.0/28"


def service_cidr(name: str, *ranges: str) -> Obj:
    return {"metadata": {"name": name}, "spec": {"cidrs": list(ranges)}}


def service(name: str, **spec: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_addresses_of_a_further_range(world: Any) -> None:
    """A further range is ready, Services may have its addresses, and it goes once the last one is free."""
    await world.create(ServiceCIDR, service_cidr("extra", EXTRA))
    made = world.the(ServiceCIDR, "extra")
    assert made["metadata"]["finalizers"] == [FINALIZER]
    assert condition(made, "Ready")["message"] == "Kubernetes Service CIDR is ready"
    await world.create(Service, service("s", clusterIP="10.112.0.5"))
    assert world.the(IPAddress, "10.112.0.5")["spec"]["parentRef"]["name"] == "s"
    await world.delete(ServiceCIDR, "extra")
    held = condition(world.the(ServiceCIDR, "extra"), "Ready")
    assert (held["status"], held["reason"], is_deleting(world.the(ServiceCIDR, "extra"))) == (
        "False",
        "Terminating",
        True,
    )
    await world.delete(Service, "s")
    await world.pass_time(1)
    assert world.names(ServiceCIDR) == []


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.112.0.5", "the provided network does not match the current range"),
        ("10.96.0.0", "the provided IP (10.96.0.0) is not in the valid range"),
    ],
)
async def test_addresses_of_no_range(world: Any, address: str, why: str) -> None:
    """An address that lies in no range that is ready is refused."""
    with pytest.raises(Exception, match="failed to allocate") as refused:
        await world.create(Service, service("s", clusterIP=address))
    assert why in str(refused.value)


async def test_range_within_another(world: Any) -> None:
    """A range whose addresses lie in another one too goes at once."""
    await world.create(ServiceCIDR, service_cidr("large", "10.112.0.0/24"))
    await world.create(ServiceCIDR, service_cidr("small", EXTRA))
    await world.create(Service, service("s", clusterIP="10.112.0.5"))
    await world.delete(ServiceCIDR, "small")
    await world.pass_time(1)
    assert world.names(ServiceCIDR) == ["large"]
