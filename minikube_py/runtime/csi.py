"""CSI: a storage driver's node service (CSI v1), over gRPC on a unix socket.

Errors are CsiFailed. A call without a deadline of its own has two minutes, as the kubelet gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.runtime.plugins import PluginChannel, PluginFailed
from minikube_py.runtime.proto import csi_pb2 as csi

NODE = "/csi.v1.Node/"
STAGE, STATS, EXPAND = "STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME"
SINGLE_WRITER, MOUNT_GROUP = "NODE_SINGLE_NODE_MULTI_WRITER", "VOLUME_MOUNT_GROUP"


class CsiFailed(PluginFailed):
    """A driver refused or does not answer."""


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


class CsiNode:
    """A driver's node service. Paths are as the driver sees them."""

    def __init__(self, endpoint: Path) -> None:
        self._channel = PluginChannel(endpoint, CsiFailed)
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
