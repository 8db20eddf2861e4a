"""Node plugins: sockets in <kubelet>/plugins_registry are asked who they are; handlers by type do the rest.

The folder is watched, not polled. A plugin that cannot be registered is told why and asked again with backoff
as long as its socket is there; one whose socket goes is registered no more.
"""

import asyncio
import logging
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from minikube_py.aio.clock import Clock, within
from minikube_py.aio.inotify import FolderWatch
from minikube_py.aio.tasks import Tasks
from minikube_py.errors import ApiError
from minikube_py.runtime.plugins import PluginFailed, PluginInfo, Registration

log = logging.getLogger(__name__)

REGISTRY = "plugins_registry"
FIRST_RETRY, LONGEST_RETRY = 0.5, 120.0  # seconds
FIRST_LOOK = 2.0
"""Seconds that the kubelet waits at its start for plugins that are there already."""


class PluginRefused(Exception):
    """A plugin cannot be registered; the message is what it is told."""


class PluginHandler(Protocol):
    """Who knows the plugins of one type."""

    def validate(self, info: PluginInfo) -> None:
        """That the plugin can be registered at all. Errors: PluginRefused."""

    async def register(self, info: PluginInfo) -> None:
        """Use the plugin. Errors: PluginRefused, PluginFailed, ApiError."""

    async def registered(self, info: PluginInfo) -> None:
        """The plugin was told that it is registered."""

    async def deregister(self, info: PluginInfo) -> None:
        """The plugin's registration socket is gone."""


class PluginWatch:
    """Watches for plugins of the types in `handlers` below the kubelet's folder `root`; `run` until
    cancelled."""

    def __init__(self, root: Path, clock: Clock, handlers: Mapping[str, PluginHandler]) -> None:
        self._folder, self._clock, self._handlers = root / REGISTRY, clock, handlers
        self._seen: dict[Path, tuple[int, int]] = {}
        self._work: dict[Path, asyncio.Task[None]] = {}
        self._known: dict[Path, PluginInfo] = {}

    async def start(self, tasks: Tasks) -> asyncio.Task[None]:
        """The task that registers plugins, once it has asked those that are there already."""
        asked = asyncio.Event()
        task = tasks.spawn(self.run(asked), "plugins")
        waiter = tasks.spawn(asked.wait(), "plugins/asked")
        await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
        return task

    async def run(self, ready: asyncio.Event) -> None:
        """Register plugins until cancelled; `ready` is set once those that are there were asked, or did not
        answer in time."""
        for folder in (self._folder, self._folder.parent / "plugins"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        async with FolderWatch() as watch, Tasks("kubelet/plugins") as tasks:
            await self._look(watch, tasks)
            if first := list(self._work.values()):
                try:
                    await within(self._clock, FIRST_LOOK, asyncio.wait(first))
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
        if (info := self._known.pop(path, None)) is not None:
            log.info("%s %s is registered no more", info.type, info.name)
            await self._handlers[info.type].deregister(info)

    async def _register(self, path: Path) -> None:
        """Register one plugin, tried again until it works."""
        wait = FIRST_RETRY
        while True:
            plugin = Registration(path)
            try:
                info = await self._attempt(plugin, path)
                break
            except (PluginFailed, ApiError, OSError, PluginRefused) as error:
                log.warning("cannot register the plugin at %s: %s", path, error)
            finally:
                await plugin.close()
            await self._clock.sleep(wait)
            wait = min(LONGEST_RETRY, wait * 2)
        log.info("%s %s is registered", info.type, info.name)
        await self._handlers[info.type].registered(info)

    async def _attempt(self, plugin: Registration, path: Path) -> PluginInfo:
        info = self._known.get(path) or await plugin.info()
        handler = self._handlers.get(info.type)
        step = "plugin validation failed with err: "
        try:
            if handler is None:
                step = ""
                raise PluginRefused(f"no handler registered for plugin type: {info.type} at socket {path}")
            handler.validate(info)
            step = "plugin registration failed with err: "
            if path not in self._known:
                await handler.register(info)
                self._known[path] = info
        except (PluginFailed, ApiError, PluginRefused) as error:
            await plugin.notify(f"RegisterPlugin error -- {step}{error}")
            raise
        await plugin.notify()
        return info


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
