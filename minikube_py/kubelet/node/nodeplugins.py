"""The plugins of every type that may register on a node: CSI drivers, device plugins, drivers of devices."""

import asyncio

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.devicemanager.devices import Devices
from minikube_py.kubelet.node.csiplugins import TYPE, CsiPlugins
from minikube_py.kubelet.node.plugins import PluginWatch
from minikube_py.kubelet.volumes.storage import Storage


async def watch_plugins(storage: Storage, devices: Devices, tasks: Tasks) -> asyncio.Task[None]:
    """The task that registers plugins, once it has asked those that are there already. Errors: ApiError."""
    await storage.open()
    drivers = CsiPlugins(storage)
    await drivers.open()
    storage.tell_again = drivers.renew
    watch = PluginWatch(storage.config.root_dir, storage.clock, {TYPE: drivers, **devices.handlers()})
    return await watch.start(tasks)
