"""Leases of API servers: the one of this server, and those of others that have ended."""

from datetime import UTC, datetime
from typing import Any

import pytest

from minikube_py.controllers.apiserverlease import seconds_left, server_name
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.meta.objects import Obj, labels_of, micro_timestamp, name_of

SERVER = {"apiserver.kubernetes.io/identity": "kube-apiserver"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"renewTime": micro_timestamp(NOW), "leaseDurationSeconds": 30}, 30.0),
        ({"renewTime": "2025-12-31T23:59:00.000000Z", "leaseDurationSeconds": 30}, -30.0),
        ({"leaseDurationSeconds": 30}, 0.0),
        ({"renewTime": micro_timestamp(NOW)}, 0.0),
    ],
)
def test_how_long_a_lease_holds(spec: Obj, expected: float) -> None:
    """A Lease holds for its duration from its renewal; one that lacks either holds no more."""
    assert expected == seconds_left({"spec": spec}, NOW)


def test_a_server_is_named_by_its_host() -> None:
    """The name is a hash of the host's, and a DNS label."""
    name = server_name("node-1")
    assert (name == server_name("node-1"), name == server_name("node-2"), len(name)) == (True, False, 36)


async def test_leases_of_servers_that_are_gone_are_removed(world: Any) -> None:
    """This server renews its Lease; another's goes once it has ended, and Leases of other kinds stay."""
    [own] = [one for one in world.cache.list(Lease, "kube-system") if labels_of(one).items() >= SERVER.items()]
    assert own["spec"]["holderIdentity"].startswith(f"{name_of(own)}_")
    assert (name_of(own)[:10], own["spec"]["leaseDurationSeconds"]) == ("apiserver-", 3600)
    spec = {"renewTime": micro_timestamp(world.clock.now()), "leaseDurationSeconds": 60}
    for name, labels in (("old", SERVER), ("mine", {})):
        meta = {"name": name, "namespace": "kube-system", "labels": labels}
        await world.create(Lease, {"metadata": meta, "spec": spec})
    await world.pass_time(30)
    assert {"old", "mine"} <= set(world.names(Lease, "kube-system"))
    await world.pass_time(40)
    assert {"old", "mine"} & set(world.names(Lease, "kube-system")) == {"mine"}
    await world.pass_time(600)
    renewed = world.the(Lease, name_of(own), "kube-system")
    assert renewed["spec"]["renewTime"] > own["spec"]["renewTime"]
