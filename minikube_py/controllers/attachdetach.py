"""Attach/detach controller: VolumeAttachments for the CSI volumes of pods, and the Nodes'
status.volumesAttached.

A volume is attached to a node as long as a pod there uses it, and as the node says that it is in use; drivers
whose CSIDriver says so are passed over. Attaching itself is the external attacher's work: the VolumeAttachment
is asked for, and its status told. A volume for one node at a time is not attached to a second one before it is
detached. Attachments that others have made, under names of their own, are left alone.

A node that is not Ready may never say that it has let a volume go: it is detached there after six minutes, and
from a node with the taint out-of-service at once. How long a volume has waited is not known across a restart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.podgc import OUT_OF_SERVICE
from minikube_py.controllers.pvcprotection import CLAIMS, claims_of
from minikube_py.errors import AlreadyExists, NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.volumeattachment import VolumeAttachment, attachment_name, is_attachment_name
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    condition_is,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

NODES = "attach-node"
SHARED = ("ReadOnlyMany", "ReadWriteMany")
DONE = ("Succeeded", "Failed")
RETRY = 5.0  # seconds until a volume that another node has is tried again
EXCLUSIVE = "Volume is already exclusively attached to one node and can't be attached to another"
PATIENCE = 360.0  # seconds that a node that is not Ready may keep a volume


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume that a node is to have."""

    driver: str
    handle: str
    volume: str
    shared: bool

    @property
    def unique_name(self) -> str:
        """The volume as a Node's status names it."""
        return f"kubernetes.io/csi/{self.driver}^{self.handle}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What must change for one node: attachments to create and to delete, volumes that another node has,
    what its status is to say, and (by unique name) what is kept only as the node says that it is in use."""

    attach: Sequence[Wanted]
    detach: Sequence[Obj]
    elsewhere: Sequence[Wanted]
    attached: Sequence[Obj]
    held: Sequence[str] = ()


def wanted(volume: Obj) -> Wanted | None:
    """A PersistentVolume as what is to be attached; None where it is not CSI's."""
    source = dig(volume, "spec.csi")
    if source is None:
        return None
    shared = any(mode in SHARED for mode in dig(volume, "spec.accessModes") or ())
    return Wanted(source["driver"], source["volumeHandle"], name_of(volume), shared)


def attachment(one: Wanted, node: str) -> Obj:
    """The VolumeAttachment of a volume to a node."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": attachment_name(one.driver, one.handle, node)},
        "spec": {"attacher": one.driver, "nodeName": node, "source": {"persistentVolumeName": one.volume}},
    }


def plan(node: str, needs: Iterable[Wanted], attachments: Iterable[Obj], in_use: Iterable[str]) -> Plan:
    """What must change for `node`, whose pods need `needs` and which uses `in_use` (unique names);
    `attachments` are all of the cluster's that name a PersistentVolume."""
    by_name = {attachment_name(one.driver, one.handle, node): one for one in needs}
    ours: dict[str, Obj] = {}
    elsewhere: set[str] = set()
    for found in attachments:
        if dig(found, "spec.nodeName") == node:
            ours[name_of(found)] = found
        else:
            elsewhere.add(dig(found, "spec.source.persistentVolumeName", ""))
    missing = [one for name, one in by_name.items() if name not in ours]
    used = set(in_use)
    attached, detach, held = [], [], []
    for name, found in ours.items():
        unique = _unique(found, by_name.get(name), used)
        if name not in by_name and unique not in used:
            if is_attachment_name(name) and not is_deleting(found):
                detach.append(found)
            continue
        if name not in by_name:
            held.append(unique)
        if dig(found, "status.attached") and unique:
            attached.append({"name": unique, "devicePath": ""})
    return Plan(
        [one for one in missing if one.shared or one.volume not in elsewhere],
        detach,
        [one for one in missing if not one.shared and one.volume in elsewhere],
        sorted(attached, key=lambda entry: entry["name"]),
        held,
    )


def given_up(
    node: Obj | None, held_since: Mapping[str, datetime], now: datetime
) -> tuple[list[str], float | None]:
    """Which volumes are detached though the node says that they are in use, by when it was first to let them
    go; and the seconds until the next one is."""
    taints = dig(node, "spec.taints") or ()
    if any(taint.get("key") == OUT_OF_SERVICE for taint in taints):
        return list(held_since), None
    if node is None or condition_is(node, "Ready"):
        return [], None
    left = {name: PATIENCE - (now - since).total_seconds() for name, since in held_since.items()}
    over = [name for name, seconds in left.items() if seconds <= 0]
    return over, min((seconds for seconds in left.values() if seconds > 0), default=None)


def _unique(found: Obj, need: Wanted | None, used: Iterable[str]) -> str:
    """The unique name of an attachment's volume: its name is made of driver, handle and node."""
    if need is not None:
        return need.unique_name
    driver, node = dig(found, "spec.attacher", ""), dig(found, "spec.nodeName", "")
    prefix = f"kubernetes.io/csi/{driver}^"
    for unique in used:
        handle = unique.removeprefix(prefix)
        if unique.startswith(prefix) and attachment_name(driver, handle, node) == name_of(found):
            return unique
    return ""


class AttachDetachController(Controller):
    """Attach what the pods of each node need, and detach what they need no more."""

    name: ClassVar[str] = "attachdetach-controller"
    reconciles = Node

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._held: dict[Key, dict[str, datetime]] = {}  # by node: the volumes it was to let go, and since when

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return (
            (Pod, NODES, lambda pod: [dig(pod, "spec.nodeName") or ""]),
            (Pod, CLAIMS, lambda pod: [f"{namespace_of(pod)}/{claim}" for claim in claims_of(pod)]),
        )

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            Pod: self._pod_changed,
            PersistentVolumeClaim: lambda change: self._users(key_of(change.object)),
            PersistentVolume: self._volume_changed,
            VolumeAttachment: lambda change: _nodes([dig(change.object, "spec.nodeName")]),
            CSIDriver: lambda _: [Key("", name_of(node)) for node in self.cache.list(Node)],
        }

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        if not claims_of(change.object):
            return ()
        return _nodes([dig(change.object, "spec.nodeName")])

    def _volume_changed(self, change: Change) -> Iterable[Key]:
        ref = dig(change.object, "spec.claimRef") or {}
        return self._users(Key(ref.get("namespace", ""), ref.get("name", "")))

    def _users(self, claim: Key) -> list[Key]:
        """The nodes whose pods use a claim."""
        return _nodes(dig(pod, "spec.nodeName") for pod in self.cache.indexed(Pod, CLAIMS, str(claim)))

    async def reconcile(self, key: Key) -> float | None:
        node = self.cache.get(Node, key)
        pods = self._pods(key.name) if node is not None else []
        needs = list(dict.fromkeys(one for pod in pods for one in self._needs(pod)))
        attachments = [
            a for a in self.cache.list(VolumeAttachment) if dig(a, "spec.source.persistentVolumeName")
        ]
        todo, left = self._plan(key, node, needs, attachments)
        for one in todo.attach:
            try:
                await self.client.create(VolumeAttachment, attachment(one, key.name))
            except AlreadyExists:
                continue
        for found in todo.detach:
            try:
                precondition = {"preconditions": {"uid": uid_of(found)}}
                await self.client.delete(VolumeAttachment, Key("", name_of(found)), precondition)
            except NotFound:
                continue
        if node is not None:
            await self._tell(node, todo, pods)
        waits = ([RETRY] if todo.elsewhere else []) + ([left] if left is not None else [])
        return min(waits, default=None)

    def _plan(
        self, key: Key, node: Obj | None, needs: Sequence[Wanted], attachments: Sequence[Obj]
    ) -> tuple[Plan, float | None]:
        """What to do for the node, and the seconds until its patience with it ends."""
        in_use, now = set(dig(node, "status.volumesInUse") or ()), self.clock.now()
        todo = plan(key.name, needs, attachments, in_use)
        known = self._held.pop(key, {})
        if not todo.held:
            return todo, None
        self._held[key] = {name: known.get(name, now) for name in todo.held}
        over, left = given_up(node, self._held[key], now)
        return (plan(key.name, needs, attachments, in_use.difference(over)) if over else todo), left

    def _pods(self, node: str) -> list[Obj]:
        """The pods of a node that use claims and have not ended."""
        pods = self.cache.indexed(Pod, NODES, node)
        return [pod for pod in pods if claims_of(pod) and dig(pod, "status.phase") not in DONE]

    def _needs(self, pod: Obj) -> Iterable[Wanted]:
        for name in claims_of(pod):
            claim = self.cache.get(PersistentVolumeClaim, Key(namespace_of(pod), name))
            volume = self.cache.get(PersistentVolume, Key("", dig(claim, "spec.volumeName") or ""))
            if claim is None or volume is None or dig(claim, "status.phase") != "Bound":
                continue
            one = wanted(volume)
            driver = self.cache.get(CSIDriver, Key("", one.driver)) if one is not None else None
            if one is not None and dig(driver, "spec.attachRequired", True):
                yield one

    async def _tell(self, node: Obj, todo: Plan, pods: Sequence[Obj]) -> None:
        """Bring the node's status up to date, and tell the pods of what has changed."""
        before = {entry["name"] for entry in dig(node, "status.volumesAttached") or ()}
        if [*todo.attached] != (dig(node, "status.volumesAttached") or []):
            patch = {"status": {"volumesAttached": list(todo.attached) or None}}
            await self.client.patch(Node, Key("", name_of(node)), patch, subresource="status")
        fresh = {entry["name"] for entry in todo.attached} - before
        for pod in pods:
            for one in self._needs(pod):
                if one.unique_name in fresh:
                    told = f'AttachVolume.Attach succeeded for volume "{one.volume}" '
                    self.events.record(pod, "Normal", "SuccessfulAttachVolume", told)
                elif one in todo.elsewhere:
                    told = f'Multi-Attach error for volume "{one.volume}" {self._users_elsewhere(one, pod)}'
                    self.events.record(pod, "Warning", "FailedAttachVolume", told)
                elif failure := self._failure(one, name_of(node)):
                    told = f'AttachVolume.Attach failed for volume "{one.volume}" : {failure}'
                    self.events.record(pod, "Warning", "FailedAttachVolume", told)

    def _users_elsewhere(self, one: Wanted, pod: Obj) -> str:
        """Who has the volume that a pod waits for, as far as the pod's namespace may know."""
        ref = dig(self.cache.get(PersistentVolume, Key("", one.volume)), "spec.claimRef") or {}
        users = self.cache.indexed(Pod, CLAIMS, f"{ref.get('namespace', '')}/{ref.get('name', '')}")
        here = dig(pod, "spec.nodeName")
        names = [name_of(u) for u in users if dig(u, "spec.nodeName") not in (None, "", here)]
        if not names:
            return EXCLUSIVE
        return f"Volume is already used by pod(s) {', '.join(sorted(names))}"

    def _failure(self, one: Wanted, node: str) -> str:
        """What the attacher says has failed, while the volume is not attached."""
        found = self.cache.get(VolumeAttachment, Key("", attachment_name(one.driver, one.handle, node)))
        return "" if dig(found, "status.attached") else dig(found, "status.attachError.message") or ""


def _nodes(names: Iterable[str | None]) -> list[Key]:
    return [Key("", name) for name in names if name]
