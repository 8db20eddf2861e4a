"""What the scheduler hears of the cluster: the snapshot and the queue follow each change of the cache."""

from collections.abc import Callable, Collection

from minikube_py.client.base import Cache
from minikube_py.client.base import Change as ObjectChange
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.resource.deviceclass import DeviceClass
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kinds.resource.resourceslice import ResourceSlice
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.csinode import CSINode
from minikube_py.kinds.storage.csistoragecapacity import CSIStorageCapacity
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, dig, is_deleting, key_of, labels_of, name_of, uid_of
from minikube_py.scheduler.configuration import DEFAULT_NAME
from minikube_py.scheduler.framework import Change, Happening, node_changes
from minikube_py.scheduler.podinfo import PodInfo, PodReader
from minikube_py.scheduler.queue import SchedulingQueue
from minikube_py.scheduler.snapshot import Snapshot

VOLUME_KINDS: tuple[tuple[Kind, Change], ...] = (
    (PersistentVolumeClaim, Change.CLAIM),
    (PersistentVolume, Change.VOLUME),
    (StorageClass, Change.STORAGE_CLASS),
    (CSINode, Change.CSI),
    (CSIDriver, Change.CSI),
    (CSIStorageCapacity, Change.CSI),
)

DEVICE_KINDS: tuple[Kind, ...] = (ResourceClaim, ResourceSlice, DeviceClass)


class Watching:
    """Feeds a snapshot and a queue until stopped; `on_volume` is told of each change of a claim or volume."""

    def __init__(
        self,
        cache: Cache,
        snapshot: Snapshot,
        queue: SchedulingQueue,
        names: Collection[str],
        on_volume: Callable[[], None],
    ) -> None:
        self._snapshot, self._queue, self._names, self._on_volume = snapshot, queue, names, on_volume
        self._cache, self._reader = cache, PodReader()
        self._stops: list[Callable[[], None]] = []

    async def begin(self) -> None:
        """Hear of what there is, then of what changes."""
        heard: list[tuple[Kind, Callable[[ObjectChange], None]]] = [
            (Namespace, self._namespace_changed),
            (Node, self._node_changed),
            (Pod, self._pod_changed),
            *((kind, self._teller(change)) for kind, change in VOLUME_KINDS),
            *((kind, self._devices_changed) for kind in DEVICE_KINDS),
        ]
        for kind, hear in heard:
            self._stops.append(await self._cache.follow(kind, hear))

    def stop(self) -> None:
        """Hear nothing more."""
        for stop in self._stops:
            stop()

    def _teller(self, change: Change) -> Callable[[ObjectChange], None]:
        def tell(told: ObjectChange) -> None:
            self._on_volume()
            if told.type != "DELETED":
                self._queue.changed(Happening(change, told.object, told.old))

        return tell

    def _devices_changed(self, told: ObjectChange) -> None:
        """What of a claim is written is not being written any more; one that is gone frees its devices."""
        if dig(told.object, "status.allocation") is not None:
            self._snapshot.allocating.pop(key_of(told.object), None)
        old = told.object if told.type == "DELETED" else told.old
        self._queue.changed(Happening(Change.DEVICES, told.object, old))

    def _namespace_changed(self, told: ObjectChange) -> None:
        if told.old is not None and labels_of(told.old) == labels_of(told.object):
            return
        self._snapshot.forget_tallies()
        if told.type != "DELETED":
            self._queue.changed(Happening(Change.NAMESPACE, told.object, told.old))

    def _node_changed(self, told: ObjectChange) -> None:
        node = told.object
        if told.type == "DELETED":
            self._snapshot.remove_node(name_of(node))
            return
        self._snapshot.put_node(node)
        for change in node_changes(told.old, node):
            self._queue.changed(Happening(change, node, told.old))

    def _pod_changed(self, told: ObjectChange) -> None:
        pod = told.object
        node = dig(pod, "spec.nodeName", "")
        if told.type == "DELETED" or dig(pod, "status.phase") in ("Succeeded", "Failed"):
            self._queue.remove(key_of(pod))
            self._freed(uid_of(pod))
        elif node:
            self._assigned(told, pod, node)
        elif needs_node(pod, self._names):
            info = self._reader.read(pod)
            self._renominated(told.old, info)
            self._queue.put(info)
        else:
            self._queue.remove(key_of(pod))
            self._snapshot.withdraw(uid_of(pod))

    def _freed(self, uid: str) -> None:
        known, nominated = self._snapshot.placed(uid), self._snapshot.nomination(uid)
        self._snapshot.withdraw(uid)
        if known is not None:
            self._snapshot.remove_pod(uid)
            self._queue.changed(Happening(Change.POD_FREED, pod=known[1]))
        elif nominated:
            self._queue.changed(Happening(Change.POD_FREED))

    def _renominated(self, old: Obj | None, info: PodInfo) -> None:
        """The nomination as the API has it: of a scheduler before, or taken back by somebody."""
        known = self._snapshot.nomination(info.uid)
        if info.nominated and (not known or (old is not None and old["status"] != info.pod["status"])):
            self._snapshot.nominate(info, info.nominated)
        elif known and not info.nominated and dig(old, "status.nominatedNodeName"):
            self._snapshot.withdraw(info.uid)

    def _assigned(self, told: ObjectChange, pod: Obj, node: str) -> None:
        known, old = self._snapshot.placed(uid_of(pod)), told.old
        if known is not None and known[0] == node and old is not None and _same(old, pod):
            known[1].pod = pod  # only its status moved
            return
        info = self._reader.read(pod)
        self._snapshot.withdraw(info.uid)
        self._queue.remove(info.key)
        if known is not None and known[0] == node and _alike(known[1], info):
            known[1].pod = pod  # as it was assumed
        else:
            self._snapshot.put_pod(info, node)
        self._queue.changed(Happening(Change.POD_ASSIGNED, pod=info))
        if known is not None and (known[1].shape is not info.shape or known[1].group != info.group):
            self._queue.changed(Happening(Change.POD_FREED, pod=known[1]))


def _same(old: Obj, new: Obj) -> bool:
    """Whether two states of a pod count alike."""
    return (
        old["spec"] == new["spec"] and labels_of(old) == labels_of(new) and is_deleting(old) == is_deleting(new)
    )


def _alike(one: PodInfo, other: PodInfo) -> bool:
    """Whether two infos of a pod count alike."""
    same = one.shape is other.shape and one.terms is other.terms
    return same and one.group == other.group and one.terminating == other.terminating


def needs_node(pod: Obj, names: Collection[str]) -> bool:
    """Whether a scheduler of one of these names must find a node for the pod."""
    spec = pod.get("spec") or {}
    return (
        not spec.get("nodeName")
        and spec.get("schedulerName", DEFAULT_NAME) in names
        and not spec.get("schedulingGates")
        and not is_deleting(pod)
    )
