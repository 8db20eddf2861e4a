"""A CSI driver for tests: volumes are folders (or files, for block volumes) of a folder of its own.

It serves Identity, Node and the making of volumes by Controller, and registers with a kubelet by a socket in
its plugins_registry. Every call is noted; a call may be told to fail, or to wait. Needs root, as it mounts.
"""

import asyncio
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.json_format import MessageToDict

from minikube_py.kubelet.volumes.mounts import bind, bind_with, is_mounted, unmount_below
from minikube_py.kubelet.volumes.usage import volume_usage
from minikube_py.runtime.calls import CODES
from minikube_py.runtime.plugins import Methods, PluginFailed, Serve
from minikube_py.runtime.proto import csi_pb2 as csi
from minikube_py.testing.plugin_sockets import PluginSockets

NAME = "hostpath.csi.minikube-py.local"
VERSIONS = ("1.0.0",)


@dataclass(frozen=True, slots=True)
class CsiHostPathConfig:
    """`kubelet` is the kubelet's folder; volumes lie in `data`. `abilities` are those of the node service."""

    kubelet: Path
    data: Path
    name: str = NAME
    node_id: str = "node-id-1"
    max_volumes: int = 0
    topology: dict[str, str] = field(default_factory=dict)
    abilities: tuple[str, ...] = ("STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME")


class CsiHostPath:
    """A running driver; use as an async context manager."""

    def __init__(self, config: CsiHostPathConfig) -> None:
        self.config = config
        self.calls: list[tuple[str, dict[str, Any]]] = []
        """(method, request as JSON) of each call to the node service that does something."""
        self.failing: dict[str, tuple[grpc.StatusCode, str]] = {}
        """Method > what it answers instead of working."""
        self.holding: dict[str, asyncio.Event] = {}
        """Method > what it waits for before it works."""
        self.registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """What the kubelet said of the registration: '' or its error."""
        self._sockets = PluginSockets()
        self._called: dict[str, asyncio.Event] = {}

    @property
    def socket(self) -> Path:
        """Where the driver listens."""
        return self.config.kubelet / "plugins" / self.config.name / "csi.sock"

    @property
    def registration(self) -> Path:
        """Where the kubelet finds it."""
        return self.config.kubelet / "plugins_registry" / f"{self.config.name}-reg.sock"

    def methods(self) -> list[str]:
        """The names of the calls so far, in order."""
        return [method for method, _ in self.calls]

    async def called(self, method: str) -> None:
        """Wait until a method is called, unless it has been."""
        await self._called.setdefault(method, asyncio.Event()).wait()

    async def __aenter__(self) -> Self:
        self.config.data.mkdir(parents=True, exist_ok=True)
        node: Methods = {
            "NodeStageVolume": (csi.NodeStageVolumeRequest, self._stage),
            "NodeUnstageVolume": (csi.NodeUnstageVolumeRequest, self._unstage),
            "NodePublishVolume": (csi.NodePublishVolumeRequest, self._publish),
            "NodeUnpublishVolume": (csi.NodeUnpublishVolumeRequest, self._unpublish),
            "NodeExpandVolume": (csi.NodeExpandVolumeRequest, self._expand),
            "NodeGetVolumeStats": (csi.NodeGetVolumeStatsRequest, self._usage),
            "NodeGetInfo": (csi.Empty, self._info),
            "NodeGetCapabilities": (csi.Empty, self._capabilities),
        }
        identity: Methods = {
            "GetPluginInfo": (csi.Empty, self._plugin),
            "GetPluginCapabilities": (csi.Empty, self._plugin_capabilities),
            "Probe": (csi.Empty, self._probe),
        }
        controller: Methods = {
            "CreateVolume": (csi.CreateVolumeRequest, self._create),
            "DeleteVolume": (csi.DeleteVolumeRequest, self._delete),
            "ControllerGetCapabilities": (csi.Empty, self._controller_capabilities),
        }
        services = {"csi.v1.Identity": identity, "csi.v1.Node": node, "csi.v1.Controller": controller}
        await self._listen(self.socket, services)
        registration: Methods = {
            "GetInfo": (csi.Empty, self._registration),
            "NotifyRegistrationStatus": (csi.RegistrationStatus, self._notified),
        }
        await self._listen(self.registration, {"pluginregistration.Registration": registration})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sockets.close()

    async def _listen(self, path: Path, services: dict[str, Methods]) -> None:
        served = {
            name: {method: (request, self._served(method, work)) for method, (request, work) in methods.items()}
            for name, methods in services.items()
        }
        await self._sockets.serve(path, served)

    def _served(self, method: str, work: Serve) -> Serve:
        async def serve(request: Any) -> Any:
            if not isinstance(request, csi.Empty | csi.RegistrationStatus):
                self.calls.append((method, MessageToDict(request, preserving_proto_field_name=True)))
                self._called.setdefault(method, asyncio.Event()).set()
            if (gate := self.holding.get(method)) is not None:
                await gate.wait()
            if (failure := self.failing.get(method)) is not None:
                raise PluginFailed(CODES[failure[0]], failure[1])
            return await work(request)

        return serve

    async def _registration(self, request: Any) -> Any:
        config = self.config
        return csi.PluginInfo(
            type="CSIPlugin", name=config.name, endpoint=str(self.socket), supported_versions=VERSIONS
        )

    async def _notified(self, request: Any) -> Any:
        if not self.registered.done():
            self.registered.set_result("" if request.plugin_registered else request.error)
        return csi.Empty()

    async def _plugin(self, request: Any) -> Any:
        return csi.GetPluginInfoResponse(name=self.config.name, vendor_version="1")

    async def _plugin_capabilities(self, request: Any) -> Any:
        service = csi.PluginCapability.Service(type=csi.PluginCapability.CONTROLLER_SERVICE)
        return csi.GetPluginCapabilitiesResponse(capabilities=[csi.PluginCapability(service=service)])

    async def _probe(self, request: Any) -> Any:
        return csi.ProbeResponse()

    async def _info(self, request: Any) -> Any:
        config = self.config
        return csi.NodeGetInfoResponse(
            node_id=config.node_id,
            max_volumes_per_node=config.max_volumes,
            accessible_topology=csi.Topology(segments=config.topology),
        )

    async def _capabilities(self, request: Any) -> Any:
        of = csi.NodeServiceCapability
        types = [of.Type.Value(name) for name in self.config.abilities]
        return csi.NodeGetCapabilitiesResponse(capabilities=[of(rpc=of.Rpc(type=type)) for type in types])

    async def _controller_capabilities(self, request: Any) -> Any:
        of = csi.ControllerServiceCapability
        return csi.ControllerGetCapabilitiesResponse(
            capabilities=[of(rpc=of.Rpc(type=of.CREATE_DELETE_VOLUME))]
        )

    def _volume(self, id: str) -> Path:
        return self.config.data / id

    async def _create(self, request: Any) -> Any:
        await asyncio.to_thread(self._volume(request.name).mkdir, exist_ok=True)
        volume = csi.Volume(capacity_bytes=request.capacity_range.required_bytes, volume_id=request.name)
        return csi.CreateVolumeResponse(volume=volume)

    async def _delete(self, request: Any) -> Any:
        await asyncio.to_thread(shutil.rmtree, self._volume(request.volume_id), ignore_errors=True)
        return csi.Empty()

    async def _stage(self, request: Any) -> Any:
        staging = Path(request.staging_target_path)
        if request.volume_capability.WhichOneof("access_type") == "mount":
            await asyncio.to_thread(self._mount, self._folder(request.volume_id), staging, [])
        return csi.Empty()

    async def _unstage(self, request: Any) -> Any:
        await asyncio.to_thread(unmount_below, Path(request.staging_target_path))
        return csi.Empty()

    def _folder(self, id: str) -> Path:
        folder = self._volume(id)
        folder.mkdir(exist_ok=True)
        return folder

    async def _publish(self, request: Any) -> Any:
        target, options = Path(request.target_path), ["ro"] if request.readonly else []
        if request.volume_capability.WhichOneof("access_type") == "block":
            await asyncio.to_thread(self._publish_device, request.volume_id, target)
        else:
            source = Path(request.staging_target_path or self._folder(request.volume_id))
            await asyncio.to_thread(self._mount, source, target, options)
        return csi.Empty()

    def _mount(self, source: Path, target: Path, options: list[str]) -> None:
        if not is_mounted(target) or not target.exists():
            target.mkdir(parents=True, exist_ok=True)
            bind_with(source, target, options)

    def _publish_device(self, id: str, target: Path) -> None:
        """Bind the loop device that the volume `id` names to the target."""
        target.touch()
        if not is_mounted(target):
            bind(Path("/dev") / id, target)

    async def _unpublish(self, request: Any) -> Any:
        await asyncio.to_thread(self._unmount, Path(request.target_path))
        return csi.Empty()

    def _unmount(self, target: Path) -> None:
        unmount_below(target)
        if target.is_dir():
            os.rmdir(target)
        else:
            target.unlink(missing_ok=True)

    async def _expand(self, request: Any) -> Any:
        return csi.NodeExpandVolumeResponse(capacity_bytes=request.capacity_range.required_bytes)

    async def _usage(self, request: Any) -> Any:
        found = await asyncio.to_thread(volume_usage, Path(request.volume_path))
        of = csi.VolumeUsage
        measures = [
            of(unit=of.BYTES, available=found.available, total=found.capacity, used=found.used),
            of(unit=of.INODES, available=found.inodes_free, total=found.inodes, used=found.inodes_used),
        ]
        return csi.NodeGetVolumeStatsResponse(usage=measures)


def _make_room(socket: Path) -> None:
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
