"""Device plugins (v1beta1), drivers of dynamic resources (DRA v1, v1beta1), and where device plugins register.

Errors are PluginFailed. Device ids are the plugin's own words.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minikube_py.runtime.base import Device, Mount
from minikube_py.runtime.plugins import Methods, PluginChannel, PluginFailed, PluginServer
from minikube_py.runtime.proto import devices_pb2 as pb

VERSION = "v1beta1"
"""The version of the device plugin API."""
PRE_START_LIMIT = 30.0  # seconds for PreStartContainer
CLAIM_LIMIT = 45.0  # seconds for a driver to prepare or unprepare claims
CONNECT_LIMIT = 10.0  # seconds until a plugin that registers must serve its socket
PLUGIN = f"/{VERSION}.DevicePlugin/"
SERVICES = {
    "v1.DRAPlugin": "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/",
    "v1beta1.DRAPlugin": "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/",
}
"""What drivers call their services at registration, the newest first > how their methods begin."""


@dataclass(frozen=True, slots=True)
class PluginOptions:
    """What a device plugin wants to be asked."""

    pre_start: bool = False
    preferred_allocation: bool = False


@dataclass(frozen=True, slots=True)
class PluginDevice:
    """A device as its plugin tells it; `nodes` are the NUMA nodes that it is near to."""

    id: str
    healthy: bool
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a container gets with its devices. Mounts are as the plugin sees the node."""

    envs: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    devices: Sequence[Device] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi_devices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """What a device plugin says when it registers; `endpoint` is its socket's name."""

    version: str
    endpoint: str
    resource: str


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A ResourceClaim as drivers are told of it."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    """A device of a claim that a driver has prepared; without `requests` it is for all of the claim."""

    pool: str
    device: str
    requests: tuple[str, ...] = ()
    cdi_devices: tuple[str, ...] = ()


def encode_allocation(given: Allocation) -> bytes:
    """An Allocation as the protocol's ContainerAllocateResponse."""
    message = pb.ContainerAllocateResponse(
        envs=given.envs,
        mounts=[
            pb.Mount(container_path=one.container_path, host_path=one.host_path, read_only=one.read_only)
            for one in given.mounts
        ],
        devices=[
            pb.DeviceSpec(
                container_path=one.container_path, host_path=one.host_path, permissions=one.permissions
            )
            for one in given.devices
        ],
        annotations=given.annotations,
        cdi_devices=[pb.CDIDevice(name=name) for name in given.cdi_devices],
    )
    return bytes(message.SerializeToString(deterministic=True))


def decode_allocation(data: bytes) -> Allocation:
    """What `encode_allocation` has made. Errors: ValueError."""
    try:
        return _allocation(pb.ContainerAllocateResponse.FromString(data))
    except Exception as error:  # protobuf's own kinds of error differ between its implementations
        raise ValueError(f"no answer of a device plugin: {error}") from error


def _allocation(said: pb.ContainerAllocateResponse) -> Allocation:
    return Allocation(
        dict(said.envs),
        tuple(Mount(one.host_path, one.container_path, one.read_only) for one in said.mounts),
        tuple(Device(one.host_path, one.container_path, one.permissions) for one in said.devices),
        dict(said.annotations),
        tuple(one.name for one in said.cdi_devices),
    )


class DevicePlugin:
    """A device plugin's service."""

    def __init__(self, socket: Path) -> None:
        self._channel = PluginChannel(socket)

    async def connect(self) -> None:
        """Wait until its socket is served."""
        await self._channel.connect()

    async def options(self) -> PluginOptions:
        """What it wants to be asked. Errors: PluginFailed."""
        method = PLUGIN + "GetDevicePluginOptions"
        said = await self._channel.call(method, pb.Empty(), pb.DevicePluginOptions)
        return PluginOptions(said.pre_start_required, said.get_preferred_allocation_available)

    async def watch(self) -> AsyncIterator[tuple[PluginDevice, ...]]:
        """All its devices, now and whenever something has changed, until it goes. Errors: PluginFailed."""
        async for said in self._channel.stream(PLUGIN + "ListAndWatch", pb.Empty(), pb.ListAndWatchResponse):
            yield tuple(
                PluginDevice(one.ID, one.health == "Healthy", tuple(node.ID for node in one.topology.nodes))
                for one in said.devices
            )

    async def preferred(self, available: Sequence[str], included: Sequence[str], size: int) -> set[str]:
        """Which `size` of the `available` devices it would give, those `included` among them.
        Errors: PluginFailed."""
        asked = pb.ContainerPreferredAllocationRequest(
            available_deviceIDs=available, must_include_deviceIDs=included, allocation_size=size
        )
        request = pb.PreferredAllocationRequest(container_requests=[asked])
        method = PLUGIN + "GetPreferredAllocation"
        said = await self._channel.call(method, request, pb.PreferredAllocationResponse, None)
        return set(said.container_responses[0].deviceIDs) if said.container_responses else set()

    async def allocate(self, devices: Sequence[str]) -> Allocation:
        """Give these devices to a container. Errors: PluginFailed."""
        asked = pb.ContainerAllocateRequest(devices_ids=devices)
        request = pb.AllocateRequest(container_requests=[asked])
        said = await self._channel.call(PLUGIN + "Allocate", request, pb.AllocateResponse, None)
        if not said.container_responses:
            raise PluginFailed("Internal", f"no containers return in allocation response {said}")
        return _allocation(said.container_responses[0])

    async def pre_start(self, devices: Sequence[str]) -> None:
        """A container with these devices is about to start. Errors: PluginFailed."""
        request = pb.PreStartContainerRequest(devices_ids=devices)
        await self._channel.call(PLUGIN + "PreStartContainer", request, pb.Empty, PRE_START_LIMIT)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()


class DraPlugin:
    """A driver's service on this node; `service` is a key of SERVICES."""

    def __init__(self, driver: str, endpoint: str, socket: Path, service: str) -> None:
        self.driver, self.endpoint, self.service = driver, endpoint, service
        self._channel = PluginChannel(socket)

    async def prepare(self, claims: Sequence[ClaimRef]) -> dict[str, tuple[str, tuple[PreparedDevice, ...]]]:
        """Prepare claims; by uid an error ('': none) and the devices. Errors: PluginFailed."""
        method = SERVICES[self.service] + "NodePrepareResources"
        said = await self._channel.call(method, _request(claims), pb.NodePrepareResourcesResponse, CLAIM_LIMIT)
        return {uid: (one.error, tuple(map(_prepared, one.devices))) for uid, one in said.claims.items()}

    async def unprepare(self, claims: Sequence[ClaimRef]) -> dict[str, str]:
        """Undo it; by uid an error ('': none). Errors: PluginFailed."""
        method, answer = SERVICES[self.service] + "NodeUnprepareResources", pb.NodeUnprepareResourcesResponse
        said = await self._channel.call(method, _request(claims), answer, CLAIM_LIMIT)
        return {uid: one.error for uid, one in said.claims.items()}

    async def follow(self, tell: Callable[[bool], None]) -> None:
        """Tell whether its socket is served, whenever that changes."""
        await self._channel.follow(tell)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()


def _request(claims: Sequence[ClaimRef]) -> pb.NodeResourcesRequest:
    told = [pb.Claim(namespace=one.namespace, uid=one.uid, name=one.name) for one in claims]
    return pb.NodeResourcesRequest(claims=told)


def _prepared(one: pb.PreparedDevice) -> PreparedDevice:
    return PreparedDevice(one.pool_name, one.device_name, tuple(one.request_names), tuple(one.cdi_device_ids))


def registration_server(path: Path, register: Callable[[RegisterRequest], Awaitable[None]]) -> PluginServer:
    """The kubelet's socket at which device plugins register; `register` may raise PluginFailed."""

    async def serve(request: Any) -> Any:
        await register(RegisterRequest(request.version, request.endpoint, request.resource_name))
        return pb.Empty()

    methods: Methods = {"Register": (pb.RegisterRequest, serve)}
    return PluginServer(path, {f"{VERSION}.Registration": methods})
