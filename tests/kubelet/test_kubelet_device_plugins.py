"""Device plugins: they register over the real protocol, pods get their devices, and the node tells of them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from kubelet_node import NODE, Node, kubelet_running, pod_object

from minikube_py.client.base import Change
from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.runtime.base import ContainerConfig, Device, Mount
from minikube_py.runtime.devices import Allocation
from minikube_py.runtime.plugins import PluginChannel, PluginFailed
from minikube_py.runtime.proto import devices_pb2 as pb
from minikube_py.testing.device_plugin import DevicePluginServer, Plugin

RESOURCE = "example.com/dongle"
TWO = {"a": True, "b": True}


def asking(count: int = 1, name: str = "main", **more: object) -> Obj:
    limits = {RESOURCE: str(count)}
    return {"name": name, "image": "app:1", "resources": {"limits": limits, "requests": limits}, **more}


async def told(node: Node, check: Callable[[Obj], object]) -> Obj:
    """The node's status once `check` holds."""
    found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

    def see(change: Change) -> None:
        status = change.object.get("status") or {}
        if change.object["metadata"]["name"] == NODE and not found.done() and check(status):
            found.set_result(status)

    unsubscribe = node.client.cache.subscribe(NodeKind, see)
    try:
        return await asyncio.wait_for(found, 10)
    finally:
        unsubscribe()


async def amounts(node: Node, capacity: str, allocatable: str) -> None:
    """Wait until the node tells so much of the resource."""
    expected = (capacity, allocatable)
    await told(
        node, lambda s: expected == (dig(s, "capacity").get(RESOURCE), dig(s, "allocatable").get(RESOURCE))
    )


def config_of(node: Node, name: str = "main") -> ContainerConfig:
    return next(one.config for one in node.runtime.running.values() if one.config.name == name)


@pytest.fixture
async def plugin(node: Node) -> AsyncIterator[DevicePluginServer]:
    """A plugin with two devices that has registered with the node's kubelet."""
    given = Allocation(
        {"DONGLE": "a"},
        (Mount("/var/lib/kubelet/dongles", "/dongles", True),),
        (Device("/dev/null", "/dev/dongle", "rw"),),
        {"dongle.example.com/used": "yes"},
        ("example.com/dongle=a",),
    )
    async with DevicePluginServer(Plugin(node.config.root_dir, RESOURCE, dict(TWO), allocation=given)) as made:
        await amounts(node, "2", "2")
        yield made


async def test_a_container_gets_its_devices(node: Node, plugin: DevicePluginServer) -> None:
    """Allocate is asked once at admission; the container has variables, mounts, devices, annotations and CDI
    names, and its own variables win."""
    env = [{"name": "OWN", "value": "$(DONGLE)"}]
    await node.client.create(Pod, pod_object(containers=[asking(env=env, command=["sh", "$(DONGLE)"])]))
    await node.running()
    config = config_of(node)
    assert plugin.calls == [("Allocate", ["a"])]
    assert (config.env[0], config.command) == (("DONGLE", "a"), ["sh", "a"])
    assert config.mounts[0] == Mount(str(node.config.root_dir / "dongles"), "/dongles", True)
    assert config.devices == [Device("/dev/null", "/dev/dongle", "rw")]
    assert (config.annotations["dongle.example.com/used"], config.cdi_devices) == (
        "yes",
        ("example.com/dongle=a",),
    )


async def test_health_is_told(node: Node, plugin: DevicePluginServer) -> None:
    """Devices that are not healthy count for capacity only; those that are gone do not count."""
    plugin.offer(a=True, b=False)
    await amounts(node, "2", "1")
    plugin.offer(a=True)
    await amounts(node, "1", "1")


async def test_a_pod_too_many_is_refused(node: Node, plugin: DevicePluginServer) -> None:
    """A pod for which there are no devices left is Failed as Kubernetes says it; devices of pods that have gone
    are free again."""
    await node.client.create(Pod, pod_object("one", containers=[asking(2)]))
    await node.running("one")
    await node.client.create(Pod, pod_object("two", containers=[asking(1)]))
    failed = await node.until(lambda pod: dig(pod, "status.phase") == "Failed", "two")
    counts = "requested number of devices unavailable for example.com/dongle. Requested: 1, Available: 0"
    why = f"Allocate failed due to {counts}, which is unexpected"
    assert (failed["status"]["reason"], failed["status"]["message"]) == (
        "UnexpectedAdmissionError",
        f"Pod was rejected: {why}",
    )
    await node.client.delete(Pod, Key("default", "one"))
    await node.gone("one")
    await node.client.create(Pod, pod_object("three", containers=[asking(2)]))
    await node.running("three")
    assert plugin.calls == [("Allocate", ["a", "b"])] * 2


async def test_allocate_fails(node: Node, plugin: DevicePluginServer) -> None:
    """A pod whose plugin refuses is Failed, and its devices are free."""
    plugin.failing["Allocate"] = "no power"
    await node.client.create(Pod, pod_object(containers=[asking()]))
    failed = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
    why = "Allocate failed due to rpc error: code = Internal desc = no power, which is unexpected"
    assert failed["status"]["message"] == f"Pod was rejected: {why}"
    plugin.failing.clear()
    await node.client.create(Pod, pod_object("next", containers=[asking(2)]))
    await node.running("next")


async def test_a_pod_waits_for_allocate(node: Node, plugin: DevicePluginServer) -> None:
    """Nothing of a pod starts before its plugin has answered; what it is to get is nobody else's."""
    gate = plugin.holding["Allocate"] = asyncio.Event()
    await node.client.create(Pod, pod_object("one", containers=[asking(2)]))
    await node.client.create(Pod, pod_object("two", containers=[asking(1)]))
    await node.until(lambda pod: dig(pod, "status.phase") == "Failed", "two")
    assert not node.runtime.pods
    gate.set()
    await node.running("one")


async def test_init_containers_hand_their_devices_on(node: Node, plugin: DevicePluginServer) -> None:
    """An init container's devices are its pod's to use again; a sidecar's are not."""
    init = [asking(1, "first", command=["exit", "0"]), asking(1, "side", restartPolicy="Always")]
    await node.client.create(Pod, pod_object(initContainers=init, containers=[asking(1)]))
    await node.running()
    assert plugin.calls == [("Allocate", ["a"]), ("Allocate", ["a"]), ("Allocate", ["b"])]


async def test_the_plugin_is_asked_what_it_prefers(node: Node, plugin: DevicePluginServer) -> None:
    """Where a plugin has preferences they are followed; before each start it is told."""
    plugin.plugin.options = {"get_preferred_allocation_available": True, "pre_start_required": True}
    plugin.plugin.preferred = ("b",)
    await plugin.register()
    await node.client.create(Pod, pod_object(containers=[asking()]))
    await node.running()
    assert plugin.calls == [("Preferred", ["a", "b"]), ("Allocate", ["b"]), ("PreStart", ["b"])]


async def test_a_container_waits_for_pre_start(node: Node, plugin: DevicePluginServer) -> None:
    """A container whose plugin cannot make its devices ready is not started, and the status says why."""
    plugin.plugin.options = {"pre_start_required": True}
    plugin.failing["PreStart"] = "not now"
    await plugin.register()
    await node.client.create(Pod, pod_object(containers=[asking()]))
    waits = "status.containerStatuses"
    pod = await node.until(
        lambda pod: dig((dig(pod, waits) or [{}])[0], "state.waiting.reason") == "CreateContainerConfigError"
    )
    why = "device plugin PreStartContainer rpc failed with err: rpc error: code = Internal desc = not now"
    assert dig(pod, waits)[0]["state"]["waiting"]["message"] == why


async def test_a_plugin_that_goes(node: Node) -> None:
    """Without its plugin nothing is allocatable; five minutes later the capacity is none either; a new plugin
    brings it back."""
    offered = Plugin(node.config.root_dir, RESOURCE, dict(TWO))
    async with DevicePluginServer(offered):
        await amounts(node, "2", "2")
    await amounts(node, "2", "0")
    await node.client.create(Pod, pod_object(containers=[asking()]))
    failed = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
    why = "no healthy devices present; cannot allocate unhealthy devices example.com/dongle"
    assert failed["status"]["message"] == f"Pod was rejected: Allocate failed due to {why}, which is unexpected"
    await node.clock.advance(301)
    await amounts(node, "0", "0")
    async with DevicePluginServer(offered):
        await amounts(node, "2", "2")


async def test_allocations_survive_the_kubelet(idle_node: Node) -> None:
    """A new kubelet knows who has which devices; plugins see that its socket is another, and register anew."""
    node = idle_node
    offered = Plugin(node.config.root_dir, RESOURCE, dict(TWO))
    async with kubelet_running(node), DevicePluginServer(offered):
        await amounts(node, "2", "2")
        await node.client.create(Pod, pod_object("one", containers=[asking()]))
        await node.running("one")
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    async with kubelet_running(node):
        await amounts(node, "0", "0")
        assert not (node.config.root_dir / "device-plugins" / "example.com-dongle.sock").exists()
        async with DevicePluginServer(offered) as plugin:
            await amounts(node, "2", "2")
            await node.client.create(Pod, pod_object("two", containers=[asking()]))
            await node.running("two")
            assert plugin.calls == [("Allocate", ["b"])]
            one = await node.pod("one")
            assert (one["status"]["phase"], one["status"]["containerStatuses"][0]["restartCount"]) == (
                "Running",
                0,
            )


async def test_a_pod_of_a_node_that_was_restarted(idle_node: Node) -> None:
    """Where nothing of a pod runs any more and its plugin is not back, the pod is refused."""
    node = idle_node
    async with kubelet_running(node), DevicePluginServer(Plugin(node.config.root_dir, RESOURCE, dict(TWO))):
        await amounts(node, "2", "2")
        await node.client.create(Pod, pod_object(containers=[asking()]))
        await node.running()
    node.runtime.pods.clear()
    node.runtime.running.clear()
    node.kubelet = Kubelet(node.client, node.runtime, node.clock, node.config)
    async with kubelet_running(node):
        failed = await node.until(lambda pod: dig(pod, "status.phase") == "Failed")
        assert failed["status"]["reason"] == "UnexpectedAdmissionError"


async def test_a_plugin_registers_by_its_socket(node: Node) -> None:
    """The plugin watch takes device plugins too; what does not fit is told."""
    async with DevicePluginServer(Plugin(node.config.root_dir, RESOURCE, {"a": True}, watched=True)) as plugin:
        assert await plugin.told == ""
        await amounts(node, "1", "1")
    await amounts(node, "1", "0")
    async with DevicePluginServer(Plugin(node.config.root_dir, watched=True, version="v1")) as other:
        why = "manager version, v1beta1, is not among plugin supported versions [v1]"
        assert await other.told == f"RegisterPlugin error -- plugin validation failed with err: {why}"


@pytest.mark.parametrize(
    ("resource", "version", "why"),
    [
        ("cpu", "v1beta1", 'the ResourceName "cpu" is invalid'),
        (
            RESOURCE,
            "v2",
            'requested API version "v2" is not supported by kubelet. Supported version is ["v1beta1"]',
        ),
    ],
)
async def test_a_registration_is_refused(node: Node, resource: str, version: str, why: str) -> None:
    """Plugins of another version, and resources that are Kubernetes' own, are not registered."""
    plugin = DevicePluginServer(Plugin(node.config.root_dir, resource, version=version))
    with pytest.raises(PluginFailed) as refused:
        async with plugin:
            pass
    await plugin.__aexit__(None, None, None)
    assert (refused.value.code, refused.value.message) == ("Unknown", why)


async def test_monitors_are_told_who_has_what(node: Node, plugin: DevicePluginServer) -> None:
    """podresources tells the devices of each container, and those that can be had."""
    plugin.offer(a=True, b=True, c=False)
    await amounts(node, "3", "2")
    await node.client.create(Pod, pod_object(containers=[asking(2), {"name": "idle", "image": "app:1"}]))
    await node.running()
    channel = PluginChannel(node.config.root_dir / "pod-resources" / "kubelet.sock")
    service, ids = "/v1.PodResourcesLister/", [(RESOURCE, ["a"]), (RESOURCE, ["b"])]
    try:
        listed = await channel.call(service + "List", pb.Empty(), pb.ListPodResourcesResponse)
        found = {
            one.name: [(d.resource_name, list(d.device_ids)) for d in one.devices]
            for one in listed.pod_resources[0].containers
        }
        assert (listed.pod_resources[0].name, found) == ("web", {"main": ids, "idle": []})
        known = await channel.call(
            service + "GetAllocatableResources", pb.Empty(), pb.AllocatableResourcesResponse
        )
        assert [(d.resource_name, list(d.device_ids)) for d in known.devices] == ids
        request = pb.GetPodResourcesRequest(pod_name="web", pod_namespace="default")
        got = await channel.call(service + "Get", request, pb.GetPodResourcesResponse)
        assert got.pod_resources == listed.pod_resources[0]
        missing = pb.GetPodResourcesRequest(pod_name="web", pod_namespace="other")
        with pytest.raises(PluginFailed) as refused:
            await channel.call(service + "Get", missing, pb.GetPodResourcesResponse)
        assert refused.value.message == "pod web in namespace other not found"
    finally:
        await channel.close()
