"""Endpoints: the device plugins that have registered on this node, and the devices that they tell of.

Plugins register at <kubelet>/device-plugins/kubelet.sock, or by a socket that the plugin watch finds; the
newest one of a resource counts. Its devices are unhealthy once it has gone, and forgotten five minutes later.
Source: Kubernetes, Device Plugins.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio.clock import Clock, within
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.cm.allocatable import is_extended
from minikube_py.kubelet.devicemanager.poddevices import DevicesLacking, Known, gone, known
from minikube_py.kubelet.node.plugins import PluginRefused
from minikube_py.kubelet.volumes.storage import on_host
from minikube_py.meta.amounts import Amounts
from minikube_py.runtime.devices import (
    CONNECT_LIMIT,
    VERSION,
    DevicePlugin,
    PluginOptions,
    RegisterRequest,
    registration_server,
)
from minikube_py.runtime.plugins import PluginFailed, PluginInfo

log = logging.getLogger(__name__)

TYPE = "DevicePlugin"
STOP_GRACE = 300.0
"""Seconds after which the resource of a plugin that has gone is none of this node's any more."""


@dataclass(slots=True)
class Endpoint:
    """A plugin that has registered for a resource. `running` is the task that follows its devices."""

    plugin: DevicePlugin
    socket: Path
    options: PluginOptions
    running: asyncio.Task[None] | None = None
    stopped: bool = False


class Endpoints:
    """One kubelet's; `root` is its folder, `changed` is called once the node has other devices."""

    def __init__(self, clock: Clock, root: Path, changed: Callable[[], Awaitable[None]]) -> None:
        self._clock, self._root, self._changed = clock, root, changed
        self.folder = root / "device-plugins"
        self._server = registration_server(self.folder / "kubelet.sock", self._register)
        self.state: dict[str, Known] = {}
        """What the plugins told last, by resource."""
        self._endpoints: dict[str, Endpoint] = {}
        self._removed: set[str] = set()
        self._tasks = Tasks("kubelet/device-plugins")

    async def open(self, resources: Iterable[str]) -> None:
        """Take registrations; `resources` had a plugin before. Errors: OSError."""
        for resource in resources:
            self.state[resource] = Known()
            self._tasks.spawn(self._forget_later(resource), f"forget/{resource}")
        await self._server.start()

    async def close(self) -> None:
        """Take registrations no more, and end the connections to plugins."""
        await self._server.stop()
        await self._tasks.cancel()
        for endpoint in self._endpoints.values():
            await endpoint.plugin.close()
        self._endpoints.clear()

    def find(self, resource: str) -> Endpoint | None:
        """The plugin of a resource, also one that has gone."""
        return self._endpoints.get(resource)

    async def _register(self, request: RegisterRequest) -> None:
        if request.version != VERSION:
            told = f'requested API version "{request.version}" is not supported by kubelet. '
            raise PluginFailed("Unknown", f'{told}Supported version is ["{VERSION}"]')
        if not is_extended(request.resource):
            raise PluginFailed("Unknown", f'the ResourceName "{request.resource}" is invalid')
        try:
            await self._connect(request.resource, self.folder / request.endpoint.lstrip("/"))
        except PluginRefused as error:
            raise PluginFailed("Unknown", str(error)) from error

    def validate(self, info: PluginInfo) -> None:
        if VERSION not in info.versions:
            told = f"manager version, {VERSION}, is not among plugin supported versions"
            raise PluginRefused(f"{told} [{' '.join(info.versions)}]")
        if not is_extended(info.name):
            raise PluginRefused(
                f'invalid name of device plugin socket: the ResourceName "{info.name}" is invalid'
            )

    async def register(self, info: PluginInfo) -> None:
        await self._connect(info.name, on_host(Path(info.endpoint), self._root))

    async def registered(self, info: PluginInfo) -> None: ...

    async def deregister(self, info: PluginInfo) -> None:
        endpoint = self._endpoints.get(info.name)
        if endpoint is None or endpoint.socket != on_host(Path(info.endpoint), self._root):
            return
        if endpoint.running is not None:
            endpoint.running.cancel()
            await asyncio.wait((endpoint.running,))
        await self._disconnected(info.name, endpoint)

    async def _connect(self, resource: str, socket: Path) -> None:
        """Use the plugin at `socket`, in the place of one that the resource may have had.
        Errors: PluginRefused."""
        plugin = DevicePlugin(socket)
        try:
            await within(self._clock, CONNECT_LIMIT, plugin.connect())
            options = await plugin.options()
        except TimeoutError as error:
            await plugin.close()
            why = f"failed to dial device plugin with socketPath {socket}: context deadline exceeded"
            raise PluginRefused(why) from error
        except PluginFailed as error:
            await plugin.close()
            raise PluginRefused(f"failed to get device plugin options: {error}") from error
        except BaseException:
            await plugin.close()
            raise
        before, endpoint = self._endpoints.get(resource), Endpoint(plugin, socket, options)
        self._endpoints[resource] = endpoint
        endpoint.running = self._tasks.spawn(self._follow(resource, endpoint), resource)
        if before is not None:
            if before.running is not None:
                before.running.cancel()
            await before.plugin.close()

    async def _follow(self, resource: str, endpoint: Endpoint) -> None:
        try:
            async for devices in endpoint.plugin.watch():
                self.state[resource] = known(devices)
                self._removed.discard(resource)
                await self._changed()
        except PluginFailed as error:
            log.info("the device plugin of %s has gone: %s", resource, error)
        await self._disconnected(resource, endpoint)

    async def _disconnected(self, resource: str, endpoint: Endpoint) -> None:
        if self._endpoints.get(resource) is not endpoint or endpoint.stopped:
            return
        endpoint.stopped = True
        await endpoint.plugin.close()
        self.state[resource] = gone(self.state.get(resource, Known()))
        self._tasks.spawn(self._forget_later(resource), f"forget/{resource}")
        await self._changed()

    async def _forget_later(self, resource: str) -> None:
        """Forget the resource unless a plugin registers for it in time."""
        endpoint = self._endpoints.get(resource)
        await self._clock.sleep(STOP_GRACE)
        if self._endpoints.get(resource) is not endpoint:
            return
        self._endpoints.pop(resource, None)
        self.state.pop(resource, None)
        self._removed.add(resource)
        await self._changed()

    def get(self, resource: str) -> Endpoint:
        """The plugin of a resource that is there. Errors: DevicesLacking."""
        endpoint = self._endpoints.get(resource)
        if endpoint is None:
            raise DevicesLacking(f"unknown Device Plugin {resource}")
        if endpoint.stopped:
            raise DevicesLacking(f"endpoint {resource} has been stopped")
        return endpoint

    def amounts(self) -> tuple[Amounts, Amounts]:
        """The node's capacity and allocatable of plugins' resources; those of plugins that have gone for good
        are told as none."""
        none = dict.fromkeys(sorted(self._removed), "0")
        whole = {name: str(len(one.healthy | one.unhealthy)) for name, one in self.state.items()}
        return none | whole, none | {name: str(len(one.healthy)) for name, one in self.state.items()}
