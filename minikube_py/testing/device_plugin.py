"""A device plugin for tests: it offers devices that a test lists, over the real protocol.

Every call of the kubelet is noted; a call may be told to fail, or to wait.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from minikube_py.runtime.devices import VERSION, Allocation, encode_allocation
from minikube_py.runtime.plugins import Methods, PluginChannel, PluginFailed, Serve
from minikube_py.runtime.proto import csi_pb2 as registration
from minikube_py.runtime.proto import devices_pb2 as pb
from minikube_py.testing.plugin_sockets import PluginSockets


@dataclass
class Plugin:
    """How a plugin is; `kubelet` is the kubelet's folder. With `watched` it registers by a socket in
    plugins_registry, else by a call."""

    kubelet: Path
    resource: str = "example.com/dongle"
    devices: dict[str, bool] = field(default_factory=dict)
    """Id > whether it is healthy."""
    options: dict[str, bool] = field(default_factory=dict)
    allocation: Allocation = field(default_factory=Allocation)
    preferred: tuple[str, ...] = ()
    watched: bool = False
    version: str = VERSION


class DevicePluginServer:
    """A running plugin; use as an async context manager."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.calls: list[tuple[str, list[str]]] = []
        """(method, ids of devices) of each call, in order."""
        self.failing: dict[str, str] = {}
        """Method > what it answers instead of working."""
        self.holding: dict[str, asyncio.Event] = {}
        """Method > what it waits for before it works."""
        self.told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """What the kubelet said of a registration by socket: '' or its error."""
        self._changed = asyncio.Event()
        self._ending = False
        self._sockets = PluginSockets()

    @property
    def socket(self) -> Path:
        """Where the plugin listens."""
        return self.plugin.kubelet / "device-plugins" / f"{self.plugin.resource.replace('/', '-')}.sock"

    async def __aenter__(self) -> Self:
        methods: Methods = {
            "GetDevicePluginOptions": (pb.Empty, self._options),
            "ListAndWatch": (pb.Empty, self._watch),
            "GetPreferredAllocation": (pb.PreferredAllocationRequest, self._served("Preferred", self._prefer)),
            "Allocate": (pb.AllocateRequest, self._served("Allocate", self._allocate)),
            "PreStartContainer": (pb.PreStartContainerRequest, self._served("PreStart", self._pre_start)),
        }
        await self._sockets.serve(self.socket, {f"{VERSION}.DevicePlugin": methods})
        if self.plugin.watched:
            name = f"{self.plugin.resource.replace('/', '-')}-reg.sock"
            serves: Methods = {
                "GetInfo": (registration.Empty, self._info),
                "NotifyRegistrationStatus": (registration.RegistrationStatus, self._notified),
            }
            place = self.plugin.kubelet / "plugins_registry" / name
            await self._sockets.serve(place, {"pluginregistration.Registration": serves})
        else:
            await self.register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        self._changed.set()
        await self._sockets.close()

    async def register(self) -> None:
        """Register at the kubelet's socket. Errors: PluginFailed."""
        channel = PluginChannel(self.plugin.kubelet / "device-plugins" / "kubelet.sock")
        try:
            request = pb.RegisterRequest(
                version=self.plugin.version, endpoint=self.socket.name, resource_name=self.plugin.resource
            )
            await channel.call(f"/{VERSION}.Registration/Register", request, pb.Empty)
        finally:
            await channel.close()

    def offer(self, **devices: bool) -> None:
        """Tell the kubelet that these are the devices now: id > whether it is healthy."""
        self.plugin.devices = devices
        self._changed.set()

    def _served(self, method: str, work: Serve) -> Serve:
        async def serve(request: Any) -> Any:
            if (gate := self.holding.get(method)) is not None:
                await gate.wait()
            answer = await work(request)
            if (failure := self.failing.get(method)) is not None:
                raise PluginFailed("Internal", failure)
            return answer

        return serve

    async def _options(self, request: Any) -> Any:
        return pb.DevicePluginOptions(**self.plugin.options)

    async def _watch(self, request: Any) -> AsyncIterator[Any]:
        while not self._ending:
            self._changed.clear()
            told = [
                pb.Device(ID=id, health="Healthy" if healthy else "Unhealthy")
                for id, healthy in self.plugin.devices.items()
            ]
            yield pb.ListAndWatchResponse(devices=told)
            await self._changed.wait()

    async def _prefer(self, request: Any) -> Any:
        asked = request.container_requests[0]
        self.calls.append(("Preferred", list(asked.available_deviceIDs)))
        chosen = pb.ContainerPreferredAllocationResponse(deviceIDs=self.plugin.preferred)
        return pb.PreferredAllocationResponse(container_responses=[chosen])

    async def _allocate(self, request: Any) -> Any:
        self.calls.append(("Allocate", list(request.container_requests[0].devices_ids)))
        given = pb.ContainerAllocateResponse.FromString(encode_allocation(self.plugin.allocation))
        return pb.AllocateResponse(container_responses=[given])

    async def _pre_start(self, request: Any) -> Any:
        self.calls.append(("PreStart", list(request.devices_ids)))
        return pb.Empty()

    async def _info(self, request: Any) -> Any:
        return registration.PluginInfo(
            type="DevicePlugin",
            name=self.plugin.resource,
            endpoint=str(self.socket),
            supported_versions=[self.plugin.version],
        )

    async def _notified(self, request: Any) -> Any:
        if not self.told.done():
            self.told.set_result("" if request.plugin_registered else request.error)
        return registration.Empty()
