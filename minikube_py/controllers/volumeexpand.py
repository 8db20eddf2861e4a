"""Expand controller: claims that ask for more than they have.

Local-path volumes grow at once, for a folder has no size of its own; for the rest, which an external resizer
and the node see to, it says so.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.client.events import EventRecorder
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.controllers.volumes.expansion import Step, begun, finished, grown, next_step
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.volumematching import requested
from minikube_py.kinds.storage.localpath import is_local_path
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, key_of, name_of


class ExpandController(Controller):
    """Give claims the size that they ask for."""

    name: ClassVar[str] = "expand-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        client = context.clients.named(self.name)
        self.events = EventRecorder(client, context.clock, "volume_expand")

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {PersistentVolumeClaim: self._claim_changed, PersistentVolume: _claim_of}

    def _claim_changed(self, change: Change) -> Iterable[Key]:
        """Claims that ask for more than before, and ours in every state of their growing."""
        claim, old = change.object, change.old
        if change.type == "DELETED":
            return ()
        volume = self.cache.get(PersistentVolume, Key("", dig(claim, "spec.volumeName") or ""))
        ours = volume is not None and is_local_path(volume)
        return [key_of(claim)] if ours or old is None or requested(old) < requested(claim) else ()

    async def reconcile(self, key: Key) -> float | None:
        claim = self.cache.get(PersistentVolumeClaim, key)
        volume = self.cache.get(PersistentVolume, Key("", dig(claim, "spec.volumeName") or ""))
        if claim is None or volume is None:
            return None
        step = next_step(claim, volume)
        if step is Step.ELSEWHERE:
            told = "waiting for an external controller to expand this PVC"
            self.events.record(claim, "Normal", "ExternalExpanding", told)
        elif step is not Step.NOTHING:
            await self._expand(claim, volume, step)
        return None

    async def _expand(self, claim: Obj, volume: Obj, step: Step) -> None:
        """What is left to do, from `step` on."""
        if step is Step.BEGIN:
            claim = await self.set_status(PersistentVolumeClaim, claim, begun(claim, self.clock.now()))
            told = f"External resizer is resizing volume {name_of(volume)}"
            self.events.record(claim, "Normal", "Resizing", told)
        if step is not Step.FINISH:
            volume = await self.client.update(PersistentVolume, grown(volume, claim))
        claim = await self.set_status(PersistentVolumeClaim, claim, finished(claim, volume))
        self.events.record(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")


def _claim_of(change: Change) -> Iterable[Key]:
    """The claim of a local-path volume."""
    ref = dig(change.object, "spec.claimRef")
    if ref is None or not is_local_path(change.object):
        return ()
    return (Key(ref.get("namespace", ""), ref.get("name", "")),)
