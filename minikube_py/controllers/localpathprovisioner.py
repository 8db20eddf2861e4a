"""Local-path provisioner: volumes that are folders of a node, for claims of the default StorageClass.

The binder says by an annotation of the claim that one is wanted; the scheduler, or this controller for classes
that bind at once, on which node. The folder itself is made and removed by that node's kubelet.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.volumes import localpath
from minikube_py.errors import AlreadyExists, ApiError, Conflict, NotFound
from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.protection import unprotected
from minikube_py.kinds.core.volumematching import SELECTED_NODE
from minikube_py.kinds.storage.localpath import FINALIZER, PROVISIONER, is_local_path
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, annotations_of, copy, key_of, name_of, namespace_of, uid_of

WAITING = "localpath/waiting"
OURS = "localpath/ours"


class LocalPathProvisioner(Controller):
    """Make volumes for claims, and delete them after. Keys without a namespace are volumes'."""

    name: ClassVar[str] = "local-path-provisioner"
    reconciles = PersistentVolumeClaim

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (
            (PersistentVolumeClaim, WAITING, lambda claim: ["yes"] if localpath.is_asked(claim) else []),
            (PersistentVolume, OURS, lambda volume: ["yes"] if is_local_path(volume) else []),
        )

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            PersistentVolume: lambda change: [key_of(change.object)] if is_local_path(change.object) else [],
            StorageClass: lambda _: self._waiting(),
            Node: self._node_changed,
        }

    def _waiting(self) -> Iterable[Key]:
        return map(key_of, self.cache.indexed(PersistentVolumeClaim, WAITING, "yes"))

    def _node_changed(self, change: Change) -> Iterable[Key]:
        """A node that comes may have room for claims that found none; one that goes frees its volumes."""
        if change.type == "DELETED":
            return map(key_of, self.cache.indexed(PersistentVolume, OURS, "yes"))
        could = change.old is not None and localpath.is_usable(change.old)
        return self._waiting() if not could and localpath.is_usable(change.object) else ()

    async def reconcile(self, key: Key) -> float | None:
        if key.namespace:
            claim = self.cache.get(PersistentVolumeClaim, key)
            if claim is not None:
                await self._provision(claim)
            return None
        volume = self.cache.get(PersistentVolume, key)
        if volume is not None:
            await self._delete(volume)
        return None

    async def _provision(self, claim: Obj) -> None:
        storage_class = self.cache.get(StorageClass, Key("", storage_class_of(claim)))
        made = localpath.volume_for(claim, storage_class, self.cache.list(Node))
        if isinstance(made, localpath.Refusal):
            self.events.record(claim, "Warning", "ProvisioningFailed", made.message)
            if made.reschedule:
                await self._reschedule(claim)
        elif made is not None:
            await self._create(claim, made)

    async def _create(self, claim: Obj, volume: Obj) -> None:
        if self.cache.get(PersistentVolume, key_of(volume)) is not None:
            return
        place = f"{namespace_of(claim)}/{name_of(claim)}"
        told = f'External provisioner is provisioning volume for claim "{place}"'
        self.events.record(claim, "Normal", "Provisioning", told)
        try:
            await self.client.create(PersistentVolume, volume)
        except AlreadyExists:
            return
        except ApiError as error:
            told = f'failed to provision volume with StorageClass "{storage_class_of(claim)}": {error}'
            self.events.record(claim, "Warning", "ProvisioningFailed", told)
            raise
        told = f"Successfully provisioned volume {name_of(volume)}"
        self.events.record(claim, "Normal", "ProvisioningSucceeded", told)

    async def _reschedule(self, claim: Obj) -> None:
        """Let the scheduler choose another node."""
        wanted: Obj = copy(claim)
        wanted["metadata"]["annotations"] = {
            key: value for key, value in annotations_of(claim).items() if key != SELECTED_NODE
        }
        await self.client.update(PersistentVolumeClaim, wanted)

    async def _delete(self, volume: Obj) -> None:
        if localpath.is_to_be_deleted(volume):
            await self._end(volume)
        elif localpath.is_abandoned(volume, self.cache.list(Node)):
            wanted = unprotected(volume, FINALIZER)
            if wanted is not None:
                try:
                    await self.client.update(PersistentVolume, wanted)
                except NotFound:
                    return

    async def _end(self, volume: Obj) -> None:
        try:
            await self.client.delete(
                PersistentVolume, key_of(volume), {"preconditions": {"uid": uid_of(volume)}}
            )
        except NotFound:
            return
        except Conflict:
            raise
        except ApiError as error:
            told = f"{PROVISIONER}: {error}"
            self.events.record(volume, "Warning", "VolumeFailedDelete", told)
            raise
