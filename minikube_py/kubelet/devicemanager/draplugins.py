"""DraPlugins: the drivers of dynamic resources that have registered on this node.

A driver may have several plugins at a time, as while it is being updated; the newest one that is reachable is
asked. The ResourceSlices of this node are removed when the kubelet starts, and those of a driver once it has
not been reachable for 30 s: nobody is to be given devices that cannot be prepared. Source: KEP-4381.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Client
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.resource.resourceslice import ResourceSlice
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.devicemanager.claiminfo import ClaimsUnprepared
from minikube_py.kubelet.node.plugins import PluginRefused
from minikube_py.kubelet.volumes.storage import on_host
from minikube_py.meta.objects import dig, key_of
from minikube_py.runtime.devices import SERVICES, DraPlugin
from minikube_py.runtime.plugins import PluginInfo

log = logging.getLogger(__name__)

TYPE = "DRAPlugin"
WIPING_DELAY = 30.0  # seconds
FIRST_RETRY, LONGEST_RETRY = 1.0, 300.0  # seconds


def service_of(info: PluginInfo) -> str:
    """The service that a driver's plugin is to be asked by. Errors: PluginRefused."""
    where = f"invalid supported gRPC versions of DRA driver plugin {info.name} at endpoint {info.endpoint}"
    if not info.versions:
        raise PluginRefused(f"{where}: empty list of supported gRPC services (aka supported versions)")
    chosen = next((service for service in info.versions if service in SERVICES), None)
    if chosen is None:
        told = f"none of services supported by the plugin ({_quoted(info.versions)}) are supported"
        raise PluginRefused(f"{where}: {told} by the kubelet ({_quoted(tuple(SERVICES))})")
    return chosen


def _quoted(words: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{word}"' for word in words) + "]"


@dataclass(slots=True)
class Reached:
    """A plugin, and whether it is reachable."""

    plugin: DraPlugin
    connected: bool = False
    following: asyncio.Task[None] | None = None


class DraPlugins:
    """One node's."""

    def __init__(self, client: Client, clock: Clock, config: KubeletConfig) -> None:
        self._client, self._clock, self._config = client, clock, config
        self._plugins: dict[str, list[Reached]] = {}
        self._wipes: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks("kubelet/dra")
        self.came = asyncio.Event()
        """Set whenever a driver is reachable anew; who waits for it clears it."""

    def open(self) -> None:
        """Remove what earlier drivers have offered."""
        self._tasks.spawn(self._wipe(""), "wipe")

    async def close(self) -> None:
        """End the connections to drivers."""
        await self._tasks.cancel()
        for plugins in self._plugins.values():
            for one in plugins:
                await one.plugin.close()
        self._plugins.clear()

    def get(self, driver: str) -> DraPlugin:
        """The plugin to ask. Errors: ClaimsUnprepared."""
        plugins = self._plugins.get(driver)
        if not plugins:
            raise ClaimsUnprepared(f"DRA driver {driver} is not registered")
        return next((one for one in reversed(plugins) if one.connected), plugins[-1]).plugin

    def validate(self, info: PluginInfo) -> None:
        service_of(info)

    async def register(self, info: PluginInfo) -> None:
        plugins = self._plugins.setdefault(info.name, [])
        if any(one.plugin.endpoint == info.endpoint for one in plugins):
            raise PluginRefused(
                f"endpoint {info.endpoint} already registered for DRA driver plugin {info.name}"
            )
        socket = on_host(Path(info.endpoint), self._config.root_dir)
        reached = Reached(DraPlugin(info.name, info.endpoint, socket, service_of(info)))
        plugins.append(reached)

        def tell(connected: bool) -> None:
            reached.connected = connected
            self._sync(info.name)

        reached.following = self._tasks.spawn(reached.plugin.follow(tell), info.name)
        self._sync(info.name)

    async def registered(self, info: PluginInfo) -> None:
        self.came.set()

    async def deregister(self, info: PluginInfo) -> None:
        plugins = self._plugins.get(info.name) or []
        found = next((one for one in plugins if one.plugin.endpoint == info.endpoint), None)
        if found is None:
            return
        plugins.remove(found)
        if found.following is not None:
            found.following.cancel()
        await found.plugin.close()
        self._sync(info.name)

    def _sync(self, driver: str) -> None:
        """A driver that is not reachable has a while to come back."""
        if any(one.connected for one in self._plugins.get(driver) or ()):
            self.came.set()
            if (task := self._wipes.pop(driver, None)) is not None:
                task.cancel()
        elif driver not in self._wipes:
            self._wipes[driver] = self._tasks.spawn(self._wipe_later(driver), f"wipe/{driver}")

    async def _wipe_later(self, driver: str) -> None:
        await self._clock.sleep(WIPING_DELAY)
        await self._wipe(driver)
        self._wipes.pop(driver, None)

    async def _wipe(self, driver: str) -> None:
        """Remove the ResourceSlices of this node that are a driver's ('': any), tried again until it works."""
        wait = FIRST_RETRY
        while True:
            try:
                for one in list(self._client.cache.list(ResourceSlice)):
                    ours = dig(one, "spec.nodeName") == self._config.node_name
                    if ours and driver in ("", dig(one, "spec.driver")):
                        with contextlib.suppress(NotFound):
                            await self._client.delete(ResourceSlice, key_of(one))
                return
            except ApiError as error:
                log.warning("cannot remove ResourceSlices yet: %s", error)
            await self._clock.sleep(wait)
            wait = min(LONGEST_RETRY, 2 * wait)
