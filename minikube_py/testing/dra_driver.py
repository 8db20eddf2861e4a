"""A driver of dynamic resources for tests: it prepares claims as a test says, over the real protocol.

Every call of the kubelet is noted; a call may be told to fail.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from minikube_py.runtime.devices import SERVICES, PreparedDevice
from minikube_py.runtime.plugins import Methods, PluginFailed
from minikube_py.runtime.proto import csi_pb2 as registration
from minikube_py.runtime.proto import devices_pb2 as pb
from minikube_py.testing.plugin_sockets import PluginSockets


@dataclass
class Driver:
    """How a driver is; `kubelet` is the kubelet's folder, `prepared` what each claim gets."""

    kubelet: Path
    name: str = "gpu.example.com"
    versions: tuple[str, ...] = tuple(SERVICES)
    prepared: tuple[PreparedDevice, ...] = ()
    instance: str = "one"
    """Tells plugins of one driver from each other."""
    errors: dict[str, str] = field(default_factory=dict)
    """A claim's name > why it cannot be prepared, or unprepared."""


class DraDriverServer:
    """A running driver; use as an async context manager."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.calls: list[tuple[str, list[str]]] = []
        """(Prepare or Unprepare, names of claims) of each call, in order."""
        self.failure = ""
        """What every call answers instead of working."""
        self.registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """What the kubelet said of the registration: '' or its error."""
        self._called = asyncio.Event()
        self._sockets = PluginSockets()

    @property
    def socket(self) -> Path:
        """Where the driver listens."""
        return self.driver.kubelet / "plugins" / self.driver.name / f"{self.driver.instance}.sock"

    async def called(self, count: int) -> None:
        """Wait until there have been `count` calls."""
        while len(self.calls) < count:
            self._called.clear()
            await self._called.wait()

    async def __aenter__(self) -> Self:
        methods: Methods = {
            "NodePrepareResources": (pb.NodeResourcesRequest, self._prepare),
            "NodeUnprepareResources": (pb.NodeResourcesRequest, self._unprepare),
        }
        names = [SERVICES[version].strip("/") for version in self.driver.versions if version in SERVICES]
        await self._sockets.serve(self.socket, dict.fromkeys(names, methods))
        serves: Methods = {
            "GetInfo": (registration.Empty, self._info),
            "NotifyRegistrationStatus": (registration.RegistrationStatus, self._notified),
        }
        place = self.driver.kubelet / "plugins_registry" / f"{self.driver.name}-{self.driver.instance}.sock"
        await self._sockets.serve(place, {"pluginregistration.Registration": serves})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sockets.close()

    def _note(self, method: str, request: Any) -> None:
        self.calls.append((method, [claim.name for claim in request.claims]))
        self._called.set()
        if self.failure:
            raise PluginFailed("Internal", self.failure)

    async def _prepare(self, request: Any) -> Any:
        self._note("Prepare", request)
        told = [
            pb.PreparedDevice(
                request_names=one.requests,
                pool_name=one.pool,
                device_name=one.device,
                cdi_device_ids=one.cdi_devices,
            )
            for one in self.driver.prepared
        ]
        errors = self.driver.errors
        answers = {
            claim.uid: pb.NodePrepareResourceResponse(error=errors[claim.name])
            if claim.name in errors
            else pb.NodePrepareResourceResponse(devices=told)
            for claim in request.claims
        }
        return pb.NodePrepareResourcesResponse(claims=answers)

    async def _unprepare(self, request: Any) -> Any:
        self._note("Unprepare", request)
        errors = self.driver.errors
        answers = {
            claim.uid: pb.NodeUnprepareResourceResponse(error=errors.get(claim.name, ""))
            for claim in request.claims
        }
        return pb.NodeUnprepareResourcesResponse(claims=answers)

    async def _info(self, request: Any) -> Any:
        return registration.PluginInfo(
            type="DRAPlugin",
            name=self.driver.name,
            endpoint=str(self.socket),
            supported_versions=self.driver.versions,
        )

    async def _notified(self, request: Any) -> Any:
        if not self.registered.done():
            self.registered.set_result("" if request.plugin_registered else request.error)
        return registration.Empty()
