"""Devices: what of this node's devices its pods are given, by device plugins and by drivers of claims."""

from collections.abc import Callable, Mapping, Sequence, Set
from types import TracebackType
from typing import Self

from minikube_py.aio.clock import Clock, within
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Client
from minikube_py.kubelet.admission.admission import Rejection, without_devices
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.devicemanager import draplugins, endpoints
from minikube_py.kubelet.devicemanager.claiminfo import ClaimsUnprepared
from minikube_py.kubelet.devicemanager.claims import Claims
from minikube_py.kubelet.devicemanager.deviceplugins import DevicePlugins
from minikube_py.kubelet.devicemanager.draplugins import DraPlugins
from minikube_py.kubelet.devicemanager.options import NOTHING, RunOptions, merged
from minikube_py.kubelet.devicemanager.poddevices import DevicesLacking
from minikube_py.kubelet.devicemanager.podresources import DeviceUses
from minikube_py.kubelet.node.plugins import PluginHandler
from minikube_py.kubelet.status import FINAL
from minikube_py.meta.objects import Obj, dig, uid_of
from minikube_py.runtime.podresources import podresources_server

RETRY = 10.0  # seconds until claims that could not be unprepared are tried again


class Devices:
    """One kubelet's; use as an async context manager."""

    def __init__(self, client: Client, clock: Clock, config: KubeletConfig) -> None:
        self._clock, self._root = clock, config.root_dir
        self.plugins = DevicePlugins(clock, config.root_dir)
        self.drivers = DraPlugins(client, clock, config)
        self.claims = Claims(client, clock, config.root_dir, self.drivers)
        self._uses = DeviceUses(self.plugins, self.claims)
        self._server = podresources_server(config.root_dir / "pod-resources" / "kubelet.sock", self._uses)
        self._tasks = Tasks("kubelet/devices")

    def handlers(self) -> Mapping[str, PluginHandler]:
        """Who takes registrations of which type of plugin."""
        return {endpoints.TYPE: self.plugins.endpoints, draplugins.TYPE: self.drivers}

    async def __aenter__(self) -> Self:
        await self.plugins.open()
        await self.claims.open()
        self.drivers.open()
        self._tasks.spawn(self.claims.run(), "claims")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop()
        await self._tasks.cancel()
        await self.drivers.close()
        await self.plugins.close()

    def all_known(self, pods: Callable[[], Sequence[Obj]]) -> None:
        """All pods of the node are known from now on; `pods` gives them."""

        def active() -> list[Obj]:
            return [pod for pod in pods() if dig(pod, "status.phase") not in FINAL]

        def uids() -> Set[str]:
            return {uid_of(pod) for pod in active()}

        self.plugins.active = self.claims.active = uids
        self._uses.active = active

    async def take(self, pod: Obj) -> Rejection | None:
        """Give an admitted pod the devices that are held for it; its rejection where that cannot be."""
        try:
            await self.plugins.take(pod)
        except DevicesLacking as error:
            return without_devices(str(error))
        return None

    async def options(self, pod: Obj, container: Obj) -> RunOptions:
        """What a container gets that is about to start. Errors: DevicesLacking, ClaimsUnprepared."""
        names = self.claims.cdi_devices(pod, container)
        given = await self.plugins.prepare(pod, container)
        return merged(given, self._root, names) if given or names else NOTHING

    async def unprepare(self, pod: Obj, given_up: Callable[[], bool]) -> None:
        """Nothing of the pod runs any more: unprepare its claims, tried again until that is done, or
        `given_up`."""
        while True:
            self.drivers.came.clear()
            try:
                await self.claims.unprepare(uid_of(pod))
                return
            except ClaimsUnprepared:
                if given_up():
                    return
            try:
                await within(self._clock, RETRY, self.drivers.came.wait())
            except TimeoutError:
                continue
