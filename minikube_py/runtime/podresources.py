"""The kubelet's socket at which monitors ask which pod has which devices (podresources v1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minikube_py.runtime.devices import ClaimRef, PluginDevice, PreparedDevice
from minikube_py.runtime.plugins import Methods, PluginFailed, PluginServer
from minikube_py.runtime.proto import devices_pb2 as pb

SERVICE = "v1.PodResourcesLister"


@dataclass(frozen=True, slots=True)
class ClaimUse:
    """A claim that a container uses: (driver, device) of each device that was prepared."""

    ref: ClaimRef
    devices: Sequence[tuple[str, PreparedDevice]]


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """What a container has; `devices` with their resources."""

    name: str
    devices: Sequence[tuple[str, PluginDevice]] = ()
    claims: Sequence[ClaimUse] = ()


@dataclass(frozen=True, slots=True)
class PodUse:
    """What a pod's containers have."""

    name: str
    namespace: str
    containers: Sequence[ContainerUse]


class Uses(Protocol):
    """Who knows."""

    def pods(self) -> Iterable[PodUse]:
        """Every pod that has not ended."""

    def allocatable(self) -> Iterable[tuple[str, PluginDevice]]:
        """Every device that pods can have, with its resource."""


def podresources_server(path: Path, uses: Uses) -> PluginServer:
    """The server; it only tells."""

    async def listed(request: Any) -> Any:
        return pb.ListPodResourcesResponse(pod_resources=[_pod(pod) for pod in uses.pods()])

    async def allocatable(request: Any) -> Any:
        return pb.AllocatableResourcesResponse(devices=[_device(*one) for one in uses.allocatable()])

    async def got(request: Any) -> Any:
        name, namespace = request.pod_name, request.pod_namespace
        for pod in uses.pods():
            if (pod.name, pod.namespace) == (name, namespace):
                return pb.GetPodResourcesResponse(pod_resources=_pod(pod))
        raise PluginFailed("Unknown", f"pod {name} in namespace {namespace} not found")

    methods: Methods = {
        "List": (pb.Empty, listed),
        "GetAllocatableResources": (pb.Empty, allocatable),
        "Get": (pb.GetPodResourcesRequest, got),
    }
    return PluginServer(path, {SERVICE: methods})


def _pod(pod: PodUse) -> pb.PodResources:
    containers = [
        pb.ContainerResources(
            name=one.name,
            devices=[_device(*device) for device in one.devices],
            dynamic_resources=[_claim(claim) for claim in one.claims],
        )
        for one in pod.containers
    ]
    return pb.PodResources(name=pod.name, namespace=pod.namespace, containers=containers)


def _device(resource: str, device: PluginDevice) -> pb.ContainerDevices:
    near = pb.TopologyInfo(nodes=[pb.NUMANode(ID=node) for node in device.nodes]) if device.nodes else None
    return pb.ContainerDevices(resource_name=resource, device_ids=[device.id], topology=near)


def _claim(claim: ClaimUse) -> pb.DynamicResource:
    told = [
        pb.ClaimResource(
            cdi_devices=[pb.CDIDevice(name=name) for name in device.cdi_devices],
            driver_name=driver,
            pool_name=device.pool,
            device_name=device.device,
        )
        for driver, device in claim.devices
    ]
    return pb.DynamicResource(
        claim_name=claim.ref.name, claim_namespace=claim.ref.namespace, claim_resources=told
    )
