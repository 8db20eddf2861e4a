"""PersistentVolume controller: binds claims to volumes, asks provisioners for new ones, releases old ones.

One worker: two claims that want one volume are looked at one after the other; a change of someone else between
is a Conflict and tried again. Volumes are made and deleted by provisioners (the built-in one is
localpathprovisioner.py); this controller only says which is wanted, by the annotations they look for.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from minikube_py.client.base import Change, Index
from minikube_py.client.events import EventRecorder
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.volumes import binding
from minikube_py.controllers.volumes.hostpaths import remove, scrub
from minikube_py.errors import NotFound
from minikube_py.kinds.core.accessmodes import storage_class_of
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.volumematching import (
    BETA_STORAGE_PROVISIONER,
    NO_PROVISIONER,
    STORAGE_PROVISIONER,
)
from minikube_py.kinds.storage.storageclass import StorageClass, is_default_class
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    copy,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

CLAIMED = "volumebinder/claims"
OF_CLAIM = "volumebinder/of-claim"
UNBOUND = "volumebinder/unbound"
NAMING = "volumebinder/naming"


class Item(NamedTuple):
    """What is looked at: a claim or a volume."""

    is_claim: bool
    key: Key


def _claims_of_pod(pod: Obj) -> Iterable[str]:
    """Files pods that have no node yet under the claims they use."""
    if dig(pod, "spec.nodeName"):
        return
    for volume in dig(pod, "spec.volumes") or ():
        if claim := dig(volume, "persistentVolumeClaim.claimName"):
            yield f"{namespace_of(pod)}/{claim}"


def _claim_of_volume(volume: Obj) -> Iterable[str]:
    if ref := dig(volume, "spec.claimRef"):
        yield f"{ref.get('namespace', '')}/{ref.get('name', '')}"


class PersistentVolumeBinder(Controller):
    """Bind each claim to a volume, and keep each volume's phase."""

    name: ClassVar[str] = "persistentvolume-binder-controller"
    account: ClassVar[str] = "persistent-volume-binder"
    workers: ClassVar[int] = 1

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        client = context.clients.named(self.account)
        self.events = EventRecorder(client, context.clock, "persistentvolume-controller")

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (
            (Pod, CLAIMED, _claims_of_pod),
            (PersistentVolume, OF_CLAIM, _claim_of_volume),
            (PersistentVolumeClaim, NAMING, lambda claim: [dig(claim, "spec.volumeName") or ""]),
            (
                PersistentVolumeClaim,
                UNBOUND,
                lambda claim: [] if dig(claim, "status.phase") == "Bound" else ["yes"],
            ),
        )

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            PersistentVolumeClaim: self._claim_changed,
            PersistentVolume: self._volume_changed,
            StorageClass: self._class_changed,
            Pod: self._pod_changed,
        }

    def _claim_changed(self, change: Change) -> Iterable[Item]:
        """The claim, and the volumes that say it is theirs."""
        key = key_of(change.object)
        yield Item(True, key)
        for volume in self.cache.indexed(PersistentVolume, OF_CLAIM, str(key)):
            yield Item(False, key_of(volume))

    def _volume_changed(self, change: Change) -> Iterable[Item]:
        """The volume, its claim, and those claims that wait for one."""
        yield Item(False, key_of(change.object))
        if ref := dig(change.object, "spec.claimRef"):
            yield Item(True, Key(ref.get("namespace", ""), ref.get("name", "")))
        free = change.type != "DELETED" and dig(change.object, "spec.claimRef") is None
        for claim in self.cache.indexed(PersistentVolumeClaim, NAMING, name_of(change.object)):
            yield Item(True, key_of(claim))
        if free:
            for claim in self.cache.indexed(PersistentVolumeClaim, UNBOUND, "yes"):
                yield Item(True, key_of(claim))

    def _class_changed(self, change: Change) -> Iterable[Item]:
        """The claims that wait for a volume of the class, or for any class to be the default."""
        for claim in self.cache.indexed(PersistentVolumeClaim, UNBOUND, "yes"):
            if storage_class_of(claim) == name_of(change.object) or binding.is_classless(claim):
                yield Item(True, key_of(claim))

    def _pod_changed(self, change: Change) -> Iterable[Item]:
        """The claims of a new pod that waits for a node: what they wait for is told."""
        if change.type == "ADDED":
            for name in _claims_of_pod(change.object):
                yield Item(True, Key(*name.split("/", 1)))

    async def reconcile(self, key: Item) -> float | None:
        if key.is_claim:
            claim = self.cache.get(PersistentVolumeClaim, key.key)
            if claim is not None:
                await self._claim(claim)
            return None
        volume = self.cache.get(PersistentVolume, key.key)
        if volume is not None:
            await self._volume(volume)
        return None

    async def _claim(self, claim: Obj) -> None:
        storage_class = self.cache.get(StorageClass, Key("", storage_class_of(claim)))
        pods = sorted(map(name_of, self.cache.indexed(Pod, CLAIMED, str(key_of(claim)))))
        plan = binding.plan_claim(claim, self._candidates(claim), storage_class, pods)
        if plan.bind is not None:
            await self._bind(claim, plan.bind)
            return
        if binding.is_classless(claim) and (chosen := self._default_class()):
            wanted: Obj = copy(claim)
            wanted["spec"]["storageClassName"] = chosen
            await self.client.update(PersistentVolumeClaim, wanted)
            return
        if plan.told is not None and (plan.phase != "Lost" or dig(claim, "status.phase") != "Lost"):
            self.events.record(claim, *plan.told)
        if plan.provision is not None:
            claim = await self._provision(claim, plan.provision)
        await self.set_status(PersistentVolumeClaim, claim, binding.unbound_status(claim, plan.phase))

    def _candidates(self, claim: Obj) -> Sequence[Obj]:
        """The volumes that may be the claim's: the one it names, or else all."""
        if name := dig(claim, "spec.volumeName"):
            volume = self.cache.get(PersistentVolume, Key("", name))
            return [volume] if volume is not None else []
        return self.cache.list(PersistentVolume)

    def _default_class(self) -> str:
        """The name of the newest default class; empty where there is none."""
        found = sorted(filter(is_default_class, self.cache.list(StorageClass)), key=name_of)
        newest = max(found, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)
        return name_of(newest) if newest is not None else ""

    async def _bind(self, claim: Obj, volume: Obj) -> None:
        """Bind the two: the volume first, so that no other claim can have it. Each step is skipped if done."""
        if is_deleting(claim) and dig(claim, "status.phase") != "Bound":
            return
        wanted = binding.bound_volume(volume, claim)
        if wanted is not volume:
            volume = await self.client.update(PersistentVolume, wanted)
        volume = await self._enter(volume, "Bound")
        named = binding.bound_claim(claim, volume)
        if named is not claim:
            claim = await self.client.update(PersistentVolumeClaim, named)
        await self.set_status(PersistentVolumeClaim, claim, binding.claim_status(claim, volume))

    async def _provision(self, claim: Obj, storage_class: Obj) -> Obj:
        """Ask the class's provisioner for a volume, by annotations that provisioners look for; the claim."""
        provisioner = storage_class["provisioner"]
        if provisioner == NO_PROVISIONER:
            message = "no volume plugin matched name: kubernetes.io/no-provisioner"
            self.events.record(claim, "Warning", "ProvisioningFailed", message)
            return claim
        asked = {STORAGE_PROVISIONER: provisioner, BETA_STORAGE_PROVISIONER: provisioner}
        if not asked.items() <= annotations_of(claim).items():
            annotations = {**annotations_of(claim), **asked}
            meta = {**claim["metadata"], "annotations": annotations}
            claim = await self.client.update(PersistentVolumeClaim, {**claim, "metadata": meta})
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or "
            "manually by the system administrator. If volume creation is delayed, please verify that the "
            "provisioner is running and correctly registered."
        )
        self.events.record(claim, "Normal", "ExternalProvisioning", message)
        return claim

    async def _volume(self, volume: Obj) -> None:
        ref = dig(volume, "spec.claimRef") or {}
        key = Key(ref.get("namespace", ""), ref.get("name", ""))
        claim = self.cache.get(PersistentVolumeClaim, key) if ref else None
        if ref.get("uid") and (claim is None or uid_of(claim) != ref["uid"]):
            claim = await self._found(key)  # data is at stake: the cache may not have seen it yet
        plan = binding.plan_volume(volume, claim)
        if plan.unbind:
            volume = await self.client.update(PersistentVolume, binding.unbound_volume(volume))
        if plan.phase:
            volume = await self._enter(volume, plan.phase, plan.message)
        if plan.reclaim and not is_deleting(volume):
            await self._reclaim(volume)

    async def _enter(self, volume: Obj, phase: str, message: str = "") -> Obj:
        status = binding.volume_status(volume, phase, self.clock.now(), message)
        return await self.set_status(PersistentVolume, volume, status)

    async def _reclaim(self, volume: Obj) -> None:
        """Do with a released volume what its policy says; what fails is for people."""
        fault = binding.reclaim_fault(volume)
        if fault is None:
            return
        recycles = dig(volume, "spec.persistentVolumeReclaimPolicy") == "Recycle"
        if not fault:
            try:
                await asyncio.to_thread(scrub if recycles else remove, volume["spec"]["hostPath"]["path"])
            except OSError as error:
                fault = f"Recycle failed: {error}" if recycles else str(error)
        if fault:
            reason = "VolumeFailedRecycle" if recycles else "VolumeFailedDelete"
            self.events.record(volume, "Warning", reason, fault)
            await self._enter(volume, "Failed", fault)
        elif recycles:
            self.events.record(volume, "Normal", "VolumeRecycled", "Volume recycled")
            await self.client.update(PersistentVolume, binding.unbound_volume(volume))
        else:
            await self._delete(volume)

    async def _delete(self, volume: Obj) -> None:
        try:
            precondition = {"preconditions": {"uid": uid_of(volume)}}
            await self.client.delete(PersistentVolume, key_of(volume), precondition)
        except NotFound:
            return

    async def _found(self, key: Key) -> Obj | None:
        """The claim as it is stored now."""
        try:
            return await self.client.get(PersistentVolumeClaim, key.name, key.namespace)
        except NotFound:
            return None
