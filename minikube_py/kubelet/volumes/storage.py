"""Storage: what the volumes of all pods of one kubelet share.

The drivers that have registered, a lock for each device, threads of their own for mounting and unmounting (one
that hangs holds up its own volume only), and the Node's list of volumes in use, which is read off the disk.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Client
from minikube_py.client.events import EventRecorder
from minikube_py.errors import ApiError
from minikube_py.kinds.core.node import Node
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.volumes import mounts
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.runtime.csi import CsiNode

log = logging.getLogger(__name__)
T = TypeVar("T")

THREADS = 32
DEFAULT_ROOT = Path("/var/lib/kubelet")
"""Where drivers written for Kubernetes think that the kubelet's folder is."""
VOLUME_DATA = "vol_data.json"


class Driver:
    """A CSI driver that has registered on this node. `socket` is where this process reaches it."""

    def __init__(self, name: str, endpoint: Path, root: Path) -> None:
        self.name, self.endpoint, self._root = name, endpoint, root
        self.socket = on_host(endpoint, root)
        self.node = CsiNode(self.socket)

    def path(self, path: Path) -> str:
        """A path below the kubelet's folder as the driver sees it: one whose socket lies in /var/lib/kubelet
        has that folder in its place."""
        if self.socket != self.endpoint and path.is_relative_to(self._root):
            return str(DEFAULT_ROOT / path.relative_to(self._root))
        return str(path)


def on_host(path: Path, root: Path) -> Path:
    """A path that a pod or plugin names, on this host: /var/lib/kubelet is the kubelet's folder `root`."""
    return root / path.relative_to(DEFAULT_ROOT) if path.is_relative_to(DEFAULT_ROOT) else path


async def nothing() -> None:
    """There is nothing to be told."""


class Storage:
    """One kubelet's. `changed` is called once a driver has registered or gone; `tell_again` tells a Node that
    was made anew of all drivers."""

    def __init__(self, client: Client, clock: Clock, config: KubeletConfig, recorder: EventRecorder) -> None:
        self.client, self.clock, self.config = client, clock, config
        self._recorder = recorder
        self.drivers: dict[str, Driver] = {}
        self.changed: Callable[[], None] = lambda: None
        self.tell_again: Callable[[], Awaitable[None]] = nothing
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(THREADS, "volumes")

    async def open(self) -> None:
        """Let mounts below the kubelet's folder propagate to containers that ask for it."""
        if self.config.memory_volumes:
            try:
                await self.run(lambda: mounts.share(self.config.root_dir))
            except OSError as error:
                log.warning("mounts do not propagate between containers and this node: %s", error)

    async def close(self) -> None:
        """End the connections to drivers; what is mounted stays."""
        for driver in list(self.drivers.values()):
            await driver.node.close()
        self.drivers.clear()
        if self.config.memory_volumes:
            try:
                await self.run(lambda: mounts.unshare(self.config.root_dir))
            except OSError as error:
                log.debug("the kubelet's folder stays mounted: %s", error)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def tell(self, about: Obj, type: str, reason: str, message: str) -> None:
        """Record an event."""
        self._recorder.record(about, type, reason, message)

    def lock(self, device: str) -> asyncio.Lock:
        """The lock that is held while `device` is staged or taken down."""
        return self._locks.setdefault(device, asyncio.Lock())

    async def run(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread; to its end even if the caller is cancelled meanwhile."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait((future,))
            if not future.cancelled() and (error := future.exception()) is not None:
                log.debug("work for a caller that is gone failed: %s", error)
            raise

    async def tell_in_use(self) -> None:
        """Bring the Node's status.volumesInUse up to date: volumes that are not to be detached from it."""
        used = sorted(await self.run(lambda: set(attached_volumes(self.config))))
        key = Key("", self.config.node_name)
        node = self.client.cache.get(Node, key)
        if node is None or (dig(node, "status.volumesInUse") or []) == used:
            return
        try:
            await self.client.patch(Node, key, {"status": {"volumesInUse": used or None}}, subresource="status")
        except ApiError as error:
            log.warning("cannot tell which volumes are in use: %s", error)


def volume_data(config: KubeletConfig) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(folder, what is noted in it) of every CSI volume that any pod of this node has. Blocking."""
    for file in (config.root_dir / "pods").glob(f"*/volumes/kubernetes.io~csi/*/{VOLUME_DATA}"):
        if data := read_data(file):
            yield file.parent, data


def read_data(file: Path) -> dict[str, Any]:
    """What a vol_data.json says; {} where there is none, or none that can be read."""
    try:
        found = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def attached_volumes(config: KubeletConfig) -> Iterator[str]:
    """The unique names of the attached volumes that pods of this node use. Blocking."""
    for _, data in volume_data(config):
        if data.get("attachmentID"):
            yield f"kubernetes.io/csi/{data['driverName']}^{data['volumeHandle']}"
