"""Devices of pods: what no driver has prepared holds the pod back."""

from kubelet_node import Node, pod_object, settle

from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.meta.objects import Obj


async def claim(node: Node, allocation: Obj | None) -> None:
    body = {"metadata": {"name": "gpu", "namespace": "default"}, "spec": {}}
    made = await node.client.create(ResourceClaim, body)
    if allocation is not None:
        told = {**made, "status": {"allocation": allocation}}
        await node.client.update(ResourceClaim, told, subresource="status")


async def test_a_pod_waits_for_its_driver(node: Node) -> None:
    """A pod whose claim has a device of a driver that is not here does not start, and an event says why."""
    result = {"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "d"}
    await claim(node, {"devices": {"results": [result]}})
    entries = [{"name": "gpu", "resourceClaimName": "gpu"}]
    await node.client.create(Pod, pod_object(resourceClaims=entries))
    await settle()
    reason = "FailedPrepareDynamicResources"
    fault = "prepare dynamic resources: DRA driver gpu.example.com is not registered"
    assert node.events(reason) == [(reason, f"Failed to prepare dynamic resources: {fault}")]
    assert not node.runtime.running


async def test_a_claim_without_devices_holds_nobody_back(node: Node) -> None:
    """A claim to which nothing was allocated needs no driver."""
    await claim(node, None)
    await node.client.create(Pod, pod_object(resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}]))
    await node.running()
    assert node.events("FailedPrepareDynamicResources") == []
