"""CSI drivers that register on this node: known to its volumes, its CSINode and its Node."""

import logging
import re
from pathlib import Path

from minikube_py.errors import ApiError
from minikube_py.kubelet.node.csinode import CsiNodeWriter
from minikube_py.kubelet.node.plugins import PluginRefused
from minikube_py.kubelet.volumes.storage import Driver, Storage
from minikube_py.kubelet.volumes.teardown import sweep
from minikube_py.runtime.csi import CsiFailed
from minikube_py.runtime.plugins import PluginInfo

log = logging.getLogger(__name__)

TYPE = "CSIPlugin"
_VERSION = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?")


def check_versions(name: str, versions: tuple[str, ...]) -> None:
    """That a CSI driver speaks version 1. Errors: PluginRefused."""
    found = [match for text in versions if (match := _VERSION.fullmatch(text))]
    if not any(match.group(1) == "1" for match in found):
        told = f"rpc error: plugin {name} does not support any of the versions that are supported: 1.x"
        raise PluginRefused(f"RegisterPlugin error -- failed to get plugin versions: {told}")


class CsiPlugins:
    """Handles the plugins of type CSIPlugin."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._writer = CsiNodeWriter(storage.client, storage.config.node_name)

    async def open(self) -> None:
        """Make the node's CSINode, where there is none. Errors: ApiError."""
        await self._writer.ensure()

    async def renew(self) -> None:
        """The Node was made anew: tell of all drivers again. Errors: ApiError."""
        await self._writer.renew()
        for name, driver in list(self._storage.drivers.items()):
            try:
                await self._writer.set(name, await driver.node.info())
            except CsiFailed as error:
                log.warning("cannot ask CSI driver %s about the node: %s", name, error)

    def validate(self, info: PluginInfo) -> None:
        check_versions(info.name, info.versions)

    async def register(self, info: PluginInfo) -> None:
        driver = Driver(info.name, Path(info.endpoint), self._storage.config.root_dir)
        try:
            await self._writer.set(driver.name, await driver.node.info())
        except BaseException:
            await driver.node.close()
            raise
        before = self._storage.drivers.get(driver.name)
        self._storage.drivers[driver.name] = driver
        if before is not None:
            await before.node.close()

    async def registered(self, info: PluginInfo) -> None:
        self._storage.changed()
        if (driver := self._storage.drivers.get(info.name)) is not None:
            await sweep(self._storage, driver)

    async def deregister(self, info: PluginInfo) -> None:
        driver = self._storage.drivers.pop(info.name, None)
        if driver is None:
            return
        await driver.node.close()
        try:
            await self._writer.set(driver.name, None)
        except ApiError as error:
            log.warning("cannot tell that CSI driver %s is gone: %s", driver.name, error)
