"""CSI: a storage driver's node service (CSI v1) and the registration of node plugins, over gRPC on unix
sockets.

Errors are CsiFailed, whose text is that of Go's gRPC, because clients see it in events. A call without a
deadline of its own has two minutes, as the kubelet gives. Sockets whose path is too long for the kernel are
reached through their folder's descriptor.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from minikube_py.runtime.calls import CODES
from minikube_py.runtime.proto import csi_pb2 as csi

DEADLINE = 120.0
LONGEST_PATH = 107  # bytes of a unix socket's path (unix(7))
NODE, REGISTRATION = "/csi.v1.Node/", "/pluginregistration.Registration/"
STAGE, STATS, EXPAND = "STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME"
SINGLE_WRITER, MOUNT_GROUP = "NODE_SINGLE_NODE_MULTI_WRITER", "VOLUME_MOUNT_GROUP"


class CsiFailed(Exception):
    """A driver refused or does not answer. `code` is the gRPC code as Go names it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {message}")
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What a plugin says of itself at its registration socket."""

    type: str
    name: str
    endpoint: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """How a driver knows this node. max_volumes 0: no limit known."""

    id: str
    max_volumes: int = 0
    topology: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capability:
    """How a volume is used: mode is a CSI access mode; block: as a device; group: VOLUME_MOUNT_GROUP's."""

    mode: str = "SINGLE_NODE_WRITER"
    block: bool = False
    fs_type: str = ""
    flags: Sequence[str] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class VolumeCall:
    """One volume as stage, publish and expand tell it; `staging` is empty where it was not staged."""

    volume: str
    staging: str = ""
    target: str = ""
    capability: Capability = Capability()
    read_only: bool = False
    context: Mapping[str, str] = field(default_factory=dict)
    publish_context: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """One measure of a volume. unit is BYTES or INODES."""

    unit: str
    available: int
    total: int
    used: int


def short_path(socket: Path) -> tuple[str, int]:
    """A path of a unix socket that the kernel takes, and the descriptor of its folder that must stay open
    meanwhile (-1: none)."""
    if len(os.fsencode(socket)) <= LONGEST_PATH:
        return str(socket), -1
    folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{socket.name}", folder


class _Channel:
    """Unary calls to one unix socket; use as an async context manager, or `close` it."""

    def __init__(self, socket: Path) -> None:
        path, self._folder = short_path(socket)
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=options)

    async def call(self, method: str, request: Any, answer: type[Any], deadline: float = DEADLINE) -> Any:
        """The answer to one request. Errors: CsiFailed."""
        stub = self._channel.unary_unary(method, type(request).SerializeToString, answer.FromString)
        try:
            return await stub(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            raise CsiFailed(CODES[error.code()], error.details() or "") from error

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close(None)
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


class Registration:
    """A plugin's registration socket."""

    def __init__(self, socket: Path) -> None:
        self._channel = _Channel(socket)

    async def info(self) -> PluginInfo:
        """Who the plugin is. Errors: CsiFailed."""
        said = await self._channel.call(REGISTRATION + "GetInfo", csi.Empty(), csi.PluginInfo, 10.0)
        return PluginInfo(said.type, said.name, said.endpoint, tuple(said.supported_versions))

    async def notify(self, error: str = "") -> None:
        """Tell the plugin how its registration went. Errors: CsiFailed."""
        status = csi.RegistrationStatus(plugin_registered=not error, error=error)
        await self._channel.call(REGISTRATION + "NotifyRegistrationStatus", status, csi.Empty, 10.0)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()


class CsiNode:
    """A driver's node service. Paths are as the driver sees them."""

    def __init__(self, endpoint: Path) -> None:
        self._channel = _Channel(endpoint)
        self._capabilities: frozenset[str] | None = None

    async def info(self) -> NodeInfo:
        """How the driver knows this node. Errors: CsiFailed."""
        said = await self._channel.call(NODE + "NodeGetInfo", csi.Empty(), csi.NodeGetInfoResponse)
        return NodeInfo(said.node_id, said.max_volumes_per_node, dict(said.accessible_topology.segments))

    async def capabilities(self) -> frozenset[str]:
        """The names of what the node service can, such as STAGE_UNSTAGE_VOLUME. Errors: CsiFailed."""
        if self._capabilities is None:
            method = NODE + "NodeGetCapabilities"
            said = await self._channel.call(method, csi.Empty(), csi.NodeGetCapabilitiesResponse)
            names = csi.NodeServiceCapability.Type.DESCRIPTOR.values_by_number
            types = (entry.rpc.type for entry in said.capabilities)
            self._capabilities = frozenset(names[type].name for type in types if type in names)
        return self._capabilities

    async def stage(self, call: VolumeCall) -> None:
        """NodeStageVolume at `call.staging`. Errors: CsiFailed."""
        request = csi.NodeStageVolumeRequest(
            volume_id=call.volume,
            publish_context=call.publish_context,
            staging_target_path=call.staging,
            volume_capability=_capability(call.capability),
            secrets=call.secrets,
            volume_context=call.context,
        )
        await self._channel.call(NODE + "NodeStageVolume", request, csi.Empty)

    async def unstage(self, volume: str, staging: str) -> None:
        """NodeUnstageVolume. Errors: CsiFailed."""
        request = csi.NodeUnstageVolumeRequest(volume_id=volume, staging_target_path=staging)
        await self._channel.call(NODE + "NodeUnstageVolume", request, csi.Empty)

    async def publish(self, call: VolumeCall) -> None:
        """NodePublishVolume at `call.target`. Errors: CsiFailed."""
        request = csi.NodePublishVolumeRequest(
            volume_id=call.volume,
            publish_context=call.publish_context,
            staging_target_path=call.staging,
            target_path=call.target,
            volume_capability=_capability(call.capability),
            readonly=call.read_only,
            secrets=call.secrets,
            volume_context=call.context,
        )
        await self._channel.call(NODE + "NodePublishVolume", request, csi.Empty)

    async def unpublish(self, volume: str, target: str) -> None:
        """NodeUnpublishVolume. Errors: CsiFailed."""
        request = csi.NodeUnpublishVolumeRequest(volume_id=volume, target_path=target)
        await self._channel.call(NODE + "NodeUnpublishVolume", request, csi.Empty)

    async def expand(self, call: VolumeCall, size: int) -> int:
        """NodeExpandVolume to at least `size` bytes; the bytes that it has now. Errors: CsiFailed."""
        request = csi.NodeExpandVolumeRequest(
            volume_id=call.volume,
            volume_path=call.target,
            capacity_range=csi.CapacityRange(required_bytes=size),
            staging_target_path=call.staging,
            volume_capability=_capability(call.capability),
            secrets=call.secrets,
        )
        said = await self._channel.call(NODE + "NodeExpandVolume", request, csi.NodeExpandVolumeResponse)
        return int(said.capacity_bytes) or size

    async def usage(self, volume: str, path: str) -> list[Usage]:
        """NodeGetVolumeStats of a published volume. Errors: CsiFailed."""
        request = csi.NodeGetVolumeStatsRequest(volume_id=volume, volume_path=path)
        said = await self._channel.call(
            NODE + "NodeGetVolumeStats", request, csi.NodeGetVolumeStatsResponse, 10.0
        )
        names = csi.VolumeUsage.Unit.DESCRIPTOR.values_by_number
        return [Usage(names[one.unit].name, one.available, one.total, one.used) for one in said.usage]

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()


def _capability(asked: Capability) -> csi.VolumeCapability:
    mode = csi.VolumeCapability.AccessMode(mode=asked.mode)
    if asked.block:
        return csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=mode)
    mount = csi.VolumeCapability.MountVolume(
        fs_type=asked.fs_type, mount_flags=asked.flags, volume_mount_group=asked.group
    )
    return csi.VolumeCapability(mount=mount, access_mode=mode)
