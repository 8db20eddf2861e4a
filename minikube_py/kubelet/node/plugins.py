"""Node plugins: sockets in <kubelet>/plugins_registry are asked who they are, and CSI drivers are registered.

The folder is watched, not polled. A plugin that cannot be registered is told why and asked again with backoff
as long as its socket is there; a driver whose socket goes is registered no more. Only CSI drivers are known.
"""

import asyncio
import logging
import re
import stat
from pathlib import Path

from minikube_py.aio.clock import within
from minikube_py.aio.inotify import FolderWatch
from minikube_py.aio.tasks import Tasks
from minikube_py.errors import ApiError
from minikube_py.kubelet.node.csinode import CsiNodeWriter
from minikube_py.kubelet.volumes.storage import Driver, Storage
from minikube_py.kubelet.volumes.teardown import sweep
from minikube_py.runtime.csi import CsiFailed, Registration

log = logging.getLogger(__name__)

REGISTRY = "plugins_registry"
FIRST_RETRY, LONGEST_RETRY = 0.5, 120.0  # seconds
FIRST_LOOK = 2.0
"""Seconds that the kubelet waits at its start for plugins that are there already."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?")


class PluginRefused(Exception):
    """A plugin cannot be registered; the message is what it is told."""


def check_versions(name: str, versions: tuple[str, ...]) -> None:
    """That a CSI driver speaks version 1. Errors: PluginRefused."""
    found = [match for text in versions if (match := _VERSION.fullmatch(text))]
    if not any(match.group(1) == "1" for match in found):
        told = f"rpc error: plugin {name} does not support any of the versions that are supported: 1.x"
        raise PluginRefused(f"RegisterPlugin error -- failed to get plugin versions: {told}")


class PluginWatch:
    """Watches for plugins; `run` until cancelled."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._folder = storage.config.root_dir / REGISTRY
        self._writer = CsiNodeWriter(storage.client, storage.config.node_name)
        self._seen: dict[Path, tuple[int, int]] = {}
        self._work: dict[Path, asyncio.Task[None]] = {}
        self._names: dict[Path, str] = {}

    async def run(self, ready: asyncio.Event) -> None:
        """Register plugins until cancelled; `ready` is set once those that are there were asked, or did not
        answer in time."""
        for folder in (self._folder, self._storage.config.root_dir / "plugins"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        await self._writer.ensure()
        async with FolderWatch() as watch, Tasks("kubelet/plugins") as tasks:
            await self._look(watch, tasks)
            if first := list(self._work.values()):
                try:
                    await within(self._storage.clock, FIRST_LOOK, asyncio.wait(first))
                except TimeoutError:
                    log.info("a node plugin does not answer yet")
            ready.set()
            while True:
                await watch.change()
                await self._look(watch, tasks)

    async def _look(self, watch: FolderWatch, tasks: Tasks) -> None:
        found = await asyncio.to_thread(_sockets, self._folder, watch)
        for path in self._seen.keys() - found.keys():
            await self._gone(path)
        for path, identity in found.items():
            if self._seen.get(path) == identity:
                continue
            if path in self._seen:
                await self._gone(path)
            self._seen[path] = identity
            self._work[path] = tasks.spawn(self._register(path), path.name)

    async def _gone(self, path: Path) -> None:
        """A socket is no more, or another has taken its place."""
        del self._seen[path]
        if (task := self._work.pop(path, None)) is not None:
            task.cancel()
            await asyncio.wait((task,))
        name = self._names.pop(path, None)
        driver = self._storage.drivers.pop(name, None) if name is not None else None
        if driver is None:
            return
        log.info("CSI driver %s is registered no more", driver.name)
        await driver.node.close()
        try:
            await self._writer.set(driver.name, None)
        except ApiError as error:
            log.warning("cannot tell that CSI driver %s is gone: %s", driver.name, error)

    async def _register(self, path: Path) -> None:
        """Register one plugin, tried again until it works."""
        wait = FIRST_RETRY
        while True:
            plugin = Registration(path)
            try:
                await self._attempt(plugin, path)
                break
            except (CsiFailed, ApiError, OSError, PluginRefused) as error:
                log.warning("cannot register the plugin at %s: %s", path, error)
            finally:
                await plugin.close()
            await self._storage.clock.sleep(wait)
            wait = min(LONGEST_RETRY, wait * 2)
        self._storage.changed()
        if (driver := self._storage.drivers.get(self._names[path])) is not None:
            await sweep(self._storage, driver)

    async def _attempt(self, plugin: Registration, path: Path) -> None:
        info = await plugin.info()
        try:
            if info.type != "CSIPlugin":
                raise PluginRefused(f"no handler registered for plugin type: {info.type} at socket {path}")
            check_versions(info.name, info.versions)
            driver = Driver(info.name, Path(info.endpoint), self._storage.config.root_dir)
            await self._admit(driver, path)
        except (CsiFailed, ApiError, PluginRefused) as error:
            await plugin.notify(f"RegisterPlugin error -- plugin registration failed with err: {error}")
            raise
        await plugin.notify()

    async def _admit(self, driver: Driver, path: Path) -> None:
        """Make the driver known on the node and in the API. Errors: CsiFailed, ApiError."""
        try:
            await self._writer.set(driver.name, await driver.node.info())
        except BaseException:
            await driver.node.close()
            raise
        before = self._storage.drivers.get(driver.name)
        self._storage.drivers[driver.name] = driver
        self._names[path] = driver.name
        if before is not None:
            await before.node.close()
        log.info("CSI driver %s is registered", driver.name)


def _sockets(folder: Path, watch: FolderWatch) -> dict[Path, tuple[int, int]]:
    """The sockets below `folder`, each with what tells it from a later one of its name; folders are watched."""
    found: dict[Path, tuple[int, int]] = {}
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        watch.add(place)
        for entry in sorted(place.iterdir()):
            if entry.name.startswith("."):
                continue
            about = entry.lstat()
            if stat.S_ISDIR(about.st_mode):
                waiting.append(entry)
            elif stat.S_ISSOCK(about.st_mode):
                found[entry] = (about.st_ino, about.st_ctime_ns)
    return found
