"""Claims on devices: which devices a node has, and which a claim gets; then a scheduler that writes it all."""

import asyncio
from typing import Any

import pytest
from builders import KnownObjects, node, pod, pod_info

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.resource.deviceclass import DeviceClass
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kinds.resource.resourceslice import ResourceSlice
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.scheduler.devices.claims import read_devices, serve
from minikube_py.scheduler.framework import Reject
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.testing.inprocess import local_cluster

GROUP = {"apiVersion": "resource.k8s.io/v1"}
DRIVER = "gpu.example.com"


def device(name: str, *, model: str = "a", memory: str = "16Gi", version: str = "1.2.0") -> Obj:
    attributes = {"model": {"string": model}, "driverVersion": {"version": version}}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}}


def slice_of(name: str, *devices: Obj, count: int = 1, generation: int = 1, **place: Any) -> Obj:
    pool = {"name": "pool", "generation": generation, "resourceSliceCount": count}
    spec = {"driver": DRIVER, "pool": pool, "devices": list(devices), **(place or {"nodeName": "n1"})}
    return {**GROUP, "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec}


def device_class(name: str = "gpu", expression: str = f'device.driver == "{DRIVER}"', **spec: Any) -> Obj:
    spec = {"selectors": [{"cel": {"expression": expression}}], **spec}
    return {**GROUP, "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def asks(**exactly: Any) -> Obj:
    return {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1, **exactly}


def wanting(expression: str) -> list[Obj]:
    return [{"cel": {"expression": expression}}]


def claim(name: str, *requests: Obj, allocation: Obj | None = None, **devices: Any) -> Obj:
    """A claim with these requests; one that is only asked for by `exactly` is named r0, r1, ..."""
    named = [one if "name" in one else {"name": f"r{n}", "exactly": one} for n, one in enumerate(requests)]
    made = {**GROUP, "kind": "ResourceClaim", "metadata": {"name": name, "namespace": "default"}}
    status = {"status": {"allocation": allocation}} if allocation else {}
    return {**made, "spec": {"devices": {"requests": named, **devices}}, **status}


def taking(*names: str, where: str = "n1") -> Obj:
    results = [{"request": "r0", "driver": DRIVER, "pool": "pool", "device": name} for name in names]
    field = {"key": "metadata.name", "operator": "In", "values": [where]}
    return {
        "devices": {"results": results},
        "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
    }


def user(*claims: str) -> list[Obj]:
    return [{"name": name, "resourceClaimName": name} for name in claims]


TWO = slice_of("s", device("d0"), device("d1", model="b", memory="40Gi", version="2.0.0"))
PAIR = slice_of("s", *(device(f"d{n}", model="ab"[n % 2]) for n in range(4)))
MODEL = f"{DRIVER}/model"
OLD = [slice_of("old", device("x")), slice_of("new", device("d0"), generation=2)]
IN_B: dict[str, Any] = {
    "nodeSelector": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}]
    }
}
ALL = {"allocationMode": "All", "count": 0}
EITHER = {
    "name": "r",
    "firstAvailable": [
        {"name": "big", **asks(count=3)},
        {"name": "small", **asks(count=1)},
    ],
}


@pytest.mark.parametrize(
    ("slices", "wanted", "expected"),
    [
        pytest.param([TWO], claim("c", asks()), {"r0": ["d0"]}, id="first-that-suits"),
        pytest.param([TWO], claim("c", asks(count=2)), {"r0": ["d0", "d1"]}, id="several"),
        pytest.param([TWO], claim("c", asks(count=3)), None, id="too-many"),
        pytest.param([TWO], claim("c", asks(**ALL)), {"r0": ["d0", "d1"]}, id="all"),
        pytest.param([TWO], claim("c", asks(), asks()), {"r0": ["d0"], "r1": ["d1"]}, id="two-requests"),
        pytest.param(
            [TWO],
            claim("c", asks(selectors=wanting(f'device.attributes["{DRIVER}"].model == "b"'))),
            {"r0": ["d1"]},
            id="attribute",
        ),
        pytest.param(
            [TWO],
            claim(
                "c",
                asks(selectors=wanting(f'device.capacity["{DRIVER}"].memory.compareTo(quantity("20Gi")) >= 0')),
            ),
            {"r0": ["d1"]},
            id="capacity",
        ),
        pytest.param(
            [TWO],
            claim(
                "c",
                asks(
                    selectors=wanting(
                        f'device.attributes["{DRIVER}"].driverVersion.isGreaterThan(semver("1.9.0"))'
                    )
                ),
            ),
            {"r0": ["d1"]},
            id="version",
        ),
        pytest.param(
            [TWO],
            claim("c", asks(selectors=wanting('"model" in device.attributes["other.example.com"]'))),
            None,
            id="a-domain-that-is-not-there",
        ),
        pytest.param(
            [TWO],
            claim("c", asks(), asks(selectors=wanting(f'device.attributes["{DRIVER}"].model == "a"'))),
            {"r0": ["d1"], "r1": ["d0"]},
            id="the-way-back",
        ),
        pytest.param(
            [PAIR],
            claim("c", asks(count=2), constraints=[{"matchAttribute": MODEL}]),
            {"r0": ["d0", "d2"]},
            id="alike",
        ),
        pytest.param(
            [PAIR],
            claim("c", asks(count=3), constraints=[{"matchAttribute": MODEL}]),
            None,
            id="not-enough-that-are-alike",
        ),
        pytest.param([TWO], claim("c", EITHER), {"r/small": ["d0"]}, id="alternatives"),
        pytest.param(OLD, claim("c", asks()), {"r0": ["d0"]}, id="newest-generation"),
        pytest.param([slice_of("s", device("d0"), count=2)], claim("c", asks()), None, id="half-a-pool"),
        pytest.param([slice_of("s", device("d0"), nodeName="n2")], claim("c", asks()), None, id="elsewhere"),
        pytest.param(
            [slice_of("s", device("d0"), allNodes=True)], claim("c", asks()), {"r0": ["d0"]}, id="all"
        ),
        pytest.param([slice_of("s", device("d0"), **IN_B)], claim("c", asks()), None, id="another-zone"),
        pytest.param(
            [TWO, claim("other", asks(), allocation=taking("d0"))],
            claim("c", asks()),
            {"r0": ["d1"]},
            id="taken",
        ),
        pytest.param(
            [TWO, claim("other", asks(), allocation=taking("d0"))],
            claim("c", asks(adminAccess=True)),
            {"r0": ["d0"]},
            id="administrators",
        ),
    ],
)
def test_what_a_claim_gets(slices: list[Obj], wanted: Obj, expected: dict[str, list[str]] | None) -> None:
    """Devices are chosen by class, selectors, number and constraints among those that are free on the node."""
    objects = KnownObjects(*slices, device_class(), wanted)
    devices = read_devices(pod_info("p", resourceClaims=user("c")), objects, {})
    assert not isinstance(devices, Reject)
    served = serve(devices, node("n1", labels={"zone": "a"}))
    if isinstance(served, Reject):
        assert (expected, served.reasons) == (None, ("cannot allocate all claims",))
        return
    found: dict[str, list[str]] = {}
    for result in served[Key("default", "c")]["devices"]["results"]:
        found.setdefault(result["request"], []).append(result["device"])
    assert expected == found


def test_an_allocation_tells_drivers_what_to_do() -> None:
    """The configurations of class and claim are in the allocation, and where its devices are."""
    config = [{"opaque": {"driver": DRIVER, "parameters": {"a": 1}}}]
    wanted = claim("c", asks(), config=[{"requests": ["r0"], **config[0]}])
    objects = KnownObjects(TWO, device_class(config=config), wanted)
    devices = read_devices(pod_info("p", resourceClaims=user("c")), objects, {})
    assert not isinstance(devices, Reject)
    result = {"request": "r0", "driver": DRIVER, "pool": "pool", "device": "d0"}
    told = [{"source": "FromClass", **config[0]}, {"source": "FromClaim", "requests": ["r0"], **config[0]}]
    allocation = {**taking("d0"), "devices": {"results": [result], "config": told}}
    assert serve(devices, node("n1")) == {Key("default", "c"): allocation}


LEAVING = claim("c", asks())
LEAVING["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("objects", "reason", "silent"),
    [
        pytest.param([], 'resourceclaim.resource.k8s.io "c" not found', True, id="no-claim"),
        pytest.param([claim("c", asks())], "request r0: device class gpu does not exist", False, id="no-class"),
        pytest.param(
            [LEAVING],
            'resourceclaim "c" is being deleted',
            True,
            id="deleted",
        ),
    ],
)
def test_pods_that_no_node_takes(objects: list[Obj], reason: str, silent: bool) -> None:
    """A pod without its claim is not even tried; one whose class is missing says so."""
    found = read_devices(pod_info("p", resourceClaims=user("c")), KnownObjects(*objects), {})
    assert found == Reject((reason,), resolvable=False, silent=silent)


def test_an_allocated_claim_binds_its_pods() -> None:
    """A pod goes where the devices of its claim are; a selector that fails says why."""
    here = claim("c", asks(), allocation=taking("d0", where="n1"))
    devices = read_devices(pod_info("p", resourceClaims=user("c")), KnownObjects(here), {})
    assert not isinstance(devices, Reject)
    elsewhere = Reject(("resourceclaim not available on the node",), resolvable=False)
    assert [serve(devices, node(name)) for name in ("n1", "n2")] == [{}, elsewhere]
    broken = claim("c", asks(selectors=wanting(f'device.attributes["{DRIVER}"].none == 1')))
    devices = read_devices(
        pod_info("p", resourceClaims=user("c")), KnownObjects(TWO, device_class(), broken), {}
    )
    assert not isinstance(devices, Reject)
    told = "claim default/c: selector #1: runtime error: no such key: none"
    assert serve(devices, node("n1")) == Reject((told,), resolvable=False)


async def test_claims_are_allocated_and_reserved() -> None:
    """A pod waits in silence for its claim, and by name for devices; it gets both with the claim's status, its
    finalizer, and its node. A second one waits until the first claim is freed."""
    clock = VirtualClock()
    client = (await local_cluster(clock=clock)).named("scheduler")
    scheduler, ready = Scheduler(client, clock), asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(scheduler.run(ready), "scheduler")
        await ready.wait()
        body = node("n1")
        status = {"status": body.pop("status")}
        await client.create(Node, body)
        await client.patch(Node, Key("", "n1"), status, subresource="status")
        await client.create(DeviceClass, device_class())
        for name in ("a", "b"):
            waiting = pod(name, resourceClaims=user(f"c{name}"))
            del waiting["metadata"]["uid"]
            await client.create(Pod, waiting)
            await clock.advance(1)
        assert not client.cache.list(Event, "default")
        for name in ("a", "b"):
            await client.create(ResourceClaim, claim(f"c{name}", asks()))
        await clock.advance(15)
        told = {event["message"] for event in client.cache.list(Event, "default")}
        [message] = told
        assert "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, " in message
        await client.create(ResourceSlice, slice_of("s", device("d0")))
        await clock.advance(15)
        claims = {n: client.cache.get(ResourceClaim, Key("default", n)) or {} for n in ("ca", "cb")}
        [first] = [name for name, one in claims.items() if dig(one, "status.allocation")]
        owner = client.cache.get(Pod, Key("default", first[1:])) or {}
        assert dig(owner, "spec.nodeName") == "n1"
        user_of = {"resource": "pods", "name": first[1:], "uid": owner["metadata"]["uid"]}
        assert claims[first]["status"] == {"allocation": taking("d0"), "reservedFor": [user_of]}
        assert claims[first]["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
        freed = {**claims[first], "status": {}}
        await client.update(ResourceClaim, freed, subresource="status")
        await clock.advance(15)
        other = "b" if first == "ca" else "a"
        assert dig(client.cache.get(Pod, Key("default", other)), "spec.nodeName") == "n1"
        await tasks.cancel()
