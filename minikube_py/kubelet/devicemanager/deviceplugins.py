"""DevicePlugins: which devices of device plugins the pods of this node have.

Pods are given devices one after another when they are admitted; a checkpoint keeps what they have. Devices of
pods that have ended are free again. Each start of the kubelet makes its socket anew, so that plugins register
again. Source: Kubernetes, Device Plugins.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.kubelet.devicemanager import checkpoint
from minikube_py.kubelet.devicemanager.endpoints import Endpoints
from minikube_py.kubelet.devicemanager.poddevices import (
    NONE,
    DevicesLacking,
    Given,
    Ids,
    Known,
    Pods,
    Request,
    Reusable,
    Stock,
    allocated,
    check,
    complete,
    entries,
    first,
    holding,
    in_order,
    wanted,
)
from minikube_py.meta.objects import Obj, uid_of
from minikube_py.runtime.devices import Allocation
from minikube_py.runtime.plugins import PluginFailed

log = logging.getLogger(__name__)

CHECKPOINT = "kubelet_internal_checkpoint"


class DevicePlugins:
    """One kubelet's. `root` is its folder."""

    def __init__(self, clock: Clock, root: Path) -> None:
        self.endpoints = Endpoints(clock, root, self._told)
        self._file = self.endpoints.folder / CHECKPOINT
        self._pods: Pods = {}
        self._held: dict[str, dict[str, Ids]] = {}
        self._restored: set[str] = set()
        self._giving, self._writing = asyncio.Lock(), asyncio.Lock()
        self.changed: Callable[[], None] = lambda: None
        """Called once the node has other devices."""
        self.active: Callable[[], Set[str]] | None = None
        """The uids of the pods that have not ended; None while not all are known."""

    async def open(self) -> None:
        """Read what pods have, and take registrations. Errors: OSError."""
        await self.endpoints.open(await asyncio.to_thread(self._read))

    def _read(self) -> list[str]:
        """Make room for new sockets, and read the checkpoint; the resources that had a plugin."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        for entry in self._file.parent.iterdir():
            if entry != self._file and not entry.is_dir():
                entry.unlink()  # sockets from before: plugins see it, and register anew
        if not self._file.exists():
            return []
        try:
            self._pods, resources = checkpoint.read_devices(self._file.read_bytes())
        except checkpoint.Corrupt as error:
            log.warning("%s is not read, allocations of devices are not known: %s", self._file, error)
            return []
        self._restored = set(self._pods)
        return sorted(resources)

    async def close(self) -> None:
        """Take registrations no more, and end the connections to plugins."""
        await self.endpoints.close()

    async def _told(self) -> None:
        """A plugin has told of other devices, or has gone."""
        self.changed()
        await self._save()

    async def _save(self) -> None:
        async with self._writing:
            text = checkpoint.devices_text(self._pods, self.state)
            try:
                await asyncio.to_thread(checkpoint.write, self._file, text)
            except OSError as error:
                log.warning("cannot keep which pods have which devices: %s", error)

    def governed(self) -> Set[str]:
        """The resources that are given here: plugins', and those that containers have."""
        return self.state.keys() | {resource for _, _, resource, _ in entries(self._pods)}

    def _in_use(self, resource: str, uid: str) -> Ids:
        """The devices that containers have, or that pods but this one are about to get."""
        held = (ids.get(resource, NONE) for other, ids in self._held.items() if other != uid)
        return allocated(self._pods, resource).union(*held)

    def _prune(self) -> None:
        """Devices of pods that have ended are free."""
        if self.active is not None and self._pods:
            ended = self._pods.keys() - self.active() - self._held.keys()
            for uid in ended:
                del self._pods[uid]

    def _holding(self, pod: Obj) -> dict[str, Ids]:
        self._prune()
        uid, governed = uid_of(pod), self.governed()
        stock = Stock(self.state, governed, {name: self._in_use(name, uid) for name in governed})
        return holding(pod, self._pods.get(uid) or {}, stock)

    def lacking(self, pod: Obj) -> str:
        """Why the node cannot give the pod its devices; '' where it can."""
        try:
            self._holding(pod)
        except DevicesLacking as error:
            return str(error)
        return ""

    def lost(self, pod: Obj) -> str:
        """As `lacking`, for a pod of an earlier kubelet of which nothing runs any more; asked once."""
        if uid_of(pod) not in self._restored:
            return ""
        self._restored.discard(uid_of(pod))
        return self.lacking(pod)

    def hold(self, pod: Obj) -> None:
        """Keep enough devices for a pod that is admitted, until it takes them; a pod that runs already has
        what it has."""
        if uid_of(pod) not in self._pods and not self.lacking(pod) and (found := self._holding(pod)):
            self._held[uid_of(pod)] = found

    def holds(self, uid: str) -> bool:
        """Whether the pod is to `take` devices."""
        return uid in self._held

    async def take(self, pod: Obj) -> None:
        """Have the plugins give the pod's containers their devices. Errors: DevicesLacking."""
        reusable = Reusable()
        try:
            async with self._giving:
                for container, on in in_order(pod):
                    reusable.note(await self._give(pod, container, reusable), on=on)
        except BaseException:
            self._pods.pop(uid_of(pod), None)
            raise
        finally:
            self._held.pop(uid_of(pod), None)
        await self._save()

    async def _give(self, pod: Obj, container: Obj, reusable: Reusable) -> dict[str, Ids]:
        uid, name, taken = uid_of(pod), container["name"], dict[str, Ids]()
        for resource, count in wanted(container, self.governed()).items():
            had = self._given(uid, name).get(resource)
            devices = had.devices if had is not None else None
            request = Request(resource, count, devices, reusable.of(resource), self._in_use(resource, uid))
            taken[resource] = devices or NONE
            state = self.state.get(resource)
            if check(request, state) and state is not None:
                given = await self._allocate(request, state)
                self._pods.setdefault(uid, {}).setdefault(name, {})[resource] = given
                taken[resource] = given.devices
        return taken

    async def _allocate(self, request: Request, state: Known) -> Given:
        endpoint, begun = self.endpoints.get(request.resource), first(request)
        try:
            preferred: Set[str] = NONE
            if endpoint.options.preferred_allocation and len(begun) < request.count:
                asked = sorted(request.available(state) | begun)
                preferred = await endpoint.plugin.preferred(asked, sorted(begun), request.count)
        except PluginFailed as error:
            why = f"device plugin GetPreferredAllocation rpc failed with err: {error}"
            raise DevicesLacking(why) from error
        ids = complete(request, state, begun, preferred)
        try:
            return Given(ids, await endpoint.plugin.allocate(sorted(ids)))
        except PluginFailed as error:
            raise DevicesLacking(str(error)) from error

    def _given(self, uid: str, container: str) -> Mapping[str, Given]:
        return (self._pods.get(uid) or {}).get(container) or {}

    async def prepare(self, pod: Obj, container: Obj) -> Sequence[Allocation]:
        """What a container that is about to start was given; plugins that want to know are told.
        Errors: DevicesLacking."""
        uid, name = uid_of(pod), container["name"]
        asked = wanted(container, self.governed())
        if asked.keys() - self._given(uid, name).keys():
            async with self._giving:  # its plugin has come after the pod
                await self._give(pod, container, Reusable())
            await self._save()
        given = self._given(uid, name)
        for resource in asked:
            await self._pre_start(resource, given[resource].devices)
        return [given[resource].allocation for resource in sorted(given)]

    async def _pre_start(self, resource: str, devices: Collection[str]) -> None:
        endpoint = self.endpoints.find(resource)
        if endpoint is None or not endpoint.options.pre_start:
            return
        try:
            await self.endpoints.get(resource).plugin.pre_start(sorted(devices))
        except (PluginFailed, DevicesLacking) as error:
            why = f"device plugin PreStartContainer rpc failed with err: {error}"
            raise DevicesLacking(why) from error

    def of_pod(self, uid: str) -> Mapping[str, Mapping[str, Given]]:
        """What a pod's containers have, by container and resource."""
        return self._pods.get(uid) or {}

    @property
    def state(self) -> Mapping[str, Known]:
        """What the plugins told last, by resource."""
        return self.endpoints.state
