"""Claims on devices: drivers register over the real protocol, and prepare what pods use before they start."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from kubelet_node import NODE, Node, kubelet_running, pod_object

from minikube_py.client.base import Change
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kinds.resource.resourceslice import ResourceSlice
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.devicemanager.draplugins import DraPlugins
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.runtime.devices import PreparedDevice
from minikube_py.runtime.plugins import PluginChannel, PluginInfo
from minikube_py.runtime.proto import devices_pb2 as pb
from minikube_py.testing.dra_driver import DraDriverServer, Driver

NAME = "gpu.example.com"
REASON = "FailedPrepareDynamicResources"
GPUS = (
    PreparedDevice("p", "gpu-0", ("big",), ("example.com/gpu=0",)),
    PreparedDevice("p", "gpu-1", ("small",), ("example.com/gpu=1",)),
)
RESULTS = [{"request": "big", "driver": NAME, "pool": "p", "device": "gpu-0"}]


async def claim(node: Node) -> None:
    """A claim that is allocated."""
    made = await node.client.create(
        ResourceClaim, {"metadata": {"name": "gpu", "namespace": "default"}, "spec": {}}
    )
    told = {**made, "status": {"allocation": {"devices": {"results": RESULTS}}}}
    await node.client.update(ResourceClaim, told, subresource="status")


async def start(
    node: Node, name: str = "web", request: str = "", reserved: bool = True, of: str = "gpu"
) -> Obj:
    """A pod that uses the claim, which is reserved for it before it is bound to the node."""
    use = {"name": "mine"} | ({"request": request} if request else {})
    main = {"name": "main", "image": "app:1", "resources": {"claims": [use]}}
    entries = [{"name": "mine", "resourceClaimName": "gpu"}]
    pod = pod_object(name, containers=[main], resourceClaims=entries, terminationGracePeriodSeconds=1)
    del pod["spec"]["nodeName"]
    pod = await node.client.create(Pod, pod)
    if reserved:
        user = {"resource": "pods", "name": name, "uid": pod["metadata"]["uid"]}
        known = await node.client.get(ResourceClaim, "gpu", "default")
        users = [*(dig(known, "status.reservedFor") or ()), user]
        told = {**known, "status": {**known["status"], "reservedFor": users}}
        await node.client.update(ResourceClaim, told, subresource="status")
    target = {"target": {"kind": "Node", "name": NODE}}
    await node.client.post(Pod, Key("default", name), "binding", target)
    return pod


async def seen(node: Node, kind: Kind, check: Callable[[Change], Any]) -> None:
    """Wait for a change of an object."""
    found = asyncio.Event()

    def see(change: Change) -> None:
        if check(change):
            found.set()

    unsubscribe = node.client.cache.subscribe(kind, see)
    try:
        await asyncio.wait_for(found.wait(), 10)
    finally:
        unsubscribe()


async def unprepared(node: Node, why: str) -> None:
    """Wait until an event tells why claims are not prepared."""
    told = f"Failed to prepare dynamic resources: prepare dynamic resources: {why}"
    await seen(node, Event, lambda c: (c.object["reason"], c.object["message"]) == (REASON, told))


@pytest.fixture
async def driver(node: Node) -> AsyncIterator[DraDriverServer]:
    """A driver that has registered."""
    async with DraDriverServer(Driver(node.config.root_dir, NAME, prepared=GPUS)) as made:
        assert await made.registered == ""
        yield made


async def test_a_pod_waits_for_its_driver(node: Node) -> None:
    """A pod does not start while its driver is not here, and an event says why; it does with the driver."""
    await claim(node)
    await start(node)
    await unprepared(node, "DRA driver gpu.example.com is not registered")
    assert not node.runtime.pods
    async with DraDriverServer(Driver(node.config.root_dir, NAME)) as driver:
        assert await driver.registered == ""
        await node.clock.advance(5)
        await node.running()
        assert driver.calls == [("Prepare", ["gpu"])]


async def test_claims_that_a_pod_may_not_use(node: Node, driver: DraDriverServer) -> None:
    """Claims that are not there, or not reserved for the pod, hold it back."""
    await start(node, "early", reserved=False)
    await unprepared(node, 'fetch ResourceClaim gpu: resourceclaims.resource.k8s.io "gpu" not found')
    await claim(node)
    pod = await start(node, "foreign", reserved=False)
    uid = (await node.client.get(ResourceClaim, "gpu", "default"))["metadata"]["uid"]
    who = f"pod foreign ({pod['metadata']['uid']})"
    await unprepared(node, f"{who} is not allowed to use ResourceClaim gpu ({uid})")
    assert (driver.calls, node.runtime.pods) == ([], {})


@pytest.mark.parametrize(
    ("request_name", "expected"),
    [("", ["example.com/gpu=0", "example.com/gpu=1"]), ("big", ["example.com/gpu=0"])],
)
async def test_a_container_gets_what_it_names(
    node: Node, driver: DraDriverServer, request_name: str, expected: list[str]
) -> None:
    """A container has the CDI devices of the claim, or of the request in it, that it names; monitors are told
    of all that was prepared."""
    await claim(node)
    await start(node, request=request_name)
    await node.running()
    assert [list(one.config.cdi_devices) for one in node.runtime.running.values()] == [expected]
    channel = PluginChannel(node.config.root_dir / "pod-resources" / "kubelet.sock")
    method = "/v1.PodResourcesLister/List"
    listed = await channel.call(method, pb.Empty(), pb.ListPodResourcesResponse)
    await channel.close()
    told = listed.pod_resources[0].containers[0].dynamic_resources[0]
    devices = [(one.driver_name, one.device_name) for one in told.claim_resources]
    assert (told.claim_name, devices) == ("gpu", [(NAME, "gpu-0"), (NAME, "gpu-1")])


async def test_pods_share_a_claim(node: Node, driver: DraDriverServer) -> None:
    """A claim is prepared for its first pod, and unprepared with its last one, before that is gone."""
    await claim(node)
    for name in ("one", "two"):
        await start(node, name)
        await node.running(name)
    await node.client.delete(Pod, Key("default", "one"))
    await node.gone("one")
    assert driver.calls == [("Prepare", ["gpu"])]
    await node.client.delete(Pod, Key("default", "two"))
    await node.gone("two")
    assert driver.calls == [("Prepare", ["gpu"]), ("Unprepare", ["gpu"])]


async def test_a_driver_that_fails(node: Node, driver: DraDriverServer) -> None:
    """What a driver says is told by events, and tried again; a pod ends once its claims are unprepared."""
    await claim(node)
    driver.failure = "no bus"
    await start(node)
    await unprepared(node, "NodePrepareResources: rpc error: code = Internal desc = no bus")
    driver.failure, driver.driver.errors = "", {"gpu": "no power"}
    await node.clock.advance(1.1)
    await unprepared(node, "NodePrepareResources failed for ResourceClaim gpu: no power")
    driver.driver.errors = {}
    await node.clock.advance(2.1)
    await node.running()
    driver.driver.errors = {"gpu": "still in use"}
    await node.client.delete(Pod, Key("default", "web"))
    await driver.called(4)
    assert (await node.pod())["status"]["phase"] == "Running"
    driver.driver.errors = {}
    gone = asyncio.ensure_future(node.gone())
    while not gone.done():  # the kubelet hears of the failure by a real socket, in real time
        await node.clock.advance(11)
    assert [method for method, _ in driver.calls[3:]] == ["Unprepare", "Unprepare"]


async def test_claims_survive_the_kubelet(idle_node: Node) -> None:
    """A new kubelet knows what was prepared for whom: a container that restarts has its devices again, and the
    claim is unprepared with its pod."""
    node = idle_node
    driver = DraDriverServer(Driver(node.config.root_dir, NAME, prepared=GPUS))
    async with kubelet_running(node), driver:
        assert await driver.registered == ""
        await claim(node)
        await start(node)
        await node.running()
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    async with (
        kubelet_running(node),
        DraDriverServer(Driver(node.config.root_dir, NAME, versions=("v1beta1.DRAPlugin",))) as driver,
    ):
        assert await driver.registered == ""
        node.runtime.exit(next(iter(node.runtime.running)), 0)
        again = await node.until(lambda pod: dig(pod, "status.containerStatuses")[0]["restartCount"] == 1)
        config = node.runtime.running[node.container_id(again)].config
        assert config.cdi_devices == ("example.com/gpu=0", "example.com/gpu=1")
        await node.client.delete(Pod, Key("default", "web"))
        await node.gone()
        assert driver.calls == [("Unprepare", ["gpu"])]


async def resource_slice(node: Node, name: str, on: str = NODE, driver: str = NAME) -> None:
    pool = {"name": on, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": on, "pool": pool, "devices": [{"name": "gpu-0"}]}
    await node.client.create(ResourceSlice, {"metadata": {"name": name}, "spec": spec})


@contextlib.contextmanager
def deleted(node: Node, name: str) -> Iterator[asyncio.Event]:
    """An event that is set once the slice is gone."""
    gone = asyncio.Event()

    def see(change: Change) -> None:
        if change.type == "DELETED" and change.object["metadata"]["name"] == name:
            gone.set()

    unsubscribe = node.client.cache.subscribe(ResourceSlice, see)
    yield gone
    unsubscribe()


async def test_resource_slices_go_with_their_driver(idle_node: Node) -> None:
    """A kubelet that starts removes its node's slices; a driver that is not back within 30 s loses its own."""
    node = idle_node
    drivers = DraPlugins(node.client, node.clock, node.config)
    await resource_slice(node, "old")
    await resource_slice(node, "elsewhere", "node-2")
    with deleted(node, "old") as gone:
        drivers.open()
        await asyncio.wait_for(gone.wait(), 10)
    async with DraDriverServer(Driver(node.config.root_dir, NAME)) as server:
        info = PluginInfo("DRAPlugin", NAME, str(server.socket), ("v1.DRAPlugin",))
        await drivers.register(info)
        await asyncio.wait_for(drivers.came.wait(), 10)
        await resource_slice(node, "mine")
        await resource_slice(node, "other", driver="nic.example.com")
        await node.clock.advance(31)
        assert node.client.cache.get(ResourceSlice, Key("", "mine")) is not None
        with deleted(node, "mine") as gone:
            await drivers.deregister(info)
            await node.clock.advance(31)
            await asyncio.wait_for(gone.wait(), 10)
    await drivers.close()
    left = {one["metadata"]["name"] for one in node.client.cache.list(ResourceSlice)}
    assert left == {"elsewhere", "other"}


@pytest.mark.parametrize(
    ("versions", "why"),
    [
        ((), "empty list of supported gRPC services (aka supported versions)"),
        (
            ("v1alpha4.Node",),
            'none of services supported by the plugin (["v1alpha4.Node"]) are supported by the kubelet '
            '(["v1.DRAPlugin" "v1beta1.DRAPlugin"])',
        ),
    ],
)
async def test_a_driver_is_refused(node: Node, versions: tuple[str, ...], why: str) -> None:
    """Drivers of other versions are not registered, and are told so."""
    async with DraDriverServer(Driver(node.config.root_dir, NAME, versions)) as driver:
        where = f"invalid supported gRPC versions of DRA driver plugin {NAME} at endpoint {driver.socket}"
        told = f"RegisterPlugin error -- plugin validation failed with err: {where}: {why}"
        assert await driver.registered == told


async def test_claims_of_a_pod_that_was_forced_out(node: Node, driver: DraDriverServer) -> None:
    """A pod that is gone from the API does not wait for its driver; its claim is unprepared within a minute."""
    await claim(node)
    await start(node)
    await node.running()
    driver.failure = "no bus"
    await node.client.delete(Pod, Key("default", "web"), {"gracePeriodSeconds": 0})
    await driver.called(2)
    await asyncio.wait_for(node.kubelet.idle(), 10)
    driver.failure = ""
    await node.clock.advance(61)
    await driver.called(3)
    assert [method for method, _ in driver.calls] == ["Prepare", "Unprepare", "Unprepare"]
