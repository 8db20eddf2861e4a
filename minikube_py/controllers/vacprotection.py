"""VAC protection controller: a VolumeAttributesClass that is being deleted goes once no claim and no volume
names it any more. Classes that lack the finalizer get it."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.errors import NotFound
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.protection import ATTRIBUTES_PROTECTION, protected, unprotected
from minikube_py.kinds.storage.volumeattributesclass import VolumeAttributesClass
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, is_deleting

CLASSES = "attributes-classes"
NAMED_BY = (
    "spec.volumeAttributesClassName",
    "status.currentVolumeAttributesClassName",
    "status.modifyVolumeStatus.targetVolumeAttributesClassName",
)


def classes_of(obj: Obj) -> list[str]:
    """The classes that a claim, or a volume, names."""
    found = (dig(obj, path) for path in NAMED_BY)
    return list(dict.fromkeys(name for name in found if name))


class VacProtectionController(Controller):
    """Take the finalizer from classes that nobody uses."""

    name: ClassVar[str] = "volumeattributesclass-protection-controller"
    reconciles = VolumeAttributesClass

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((PersistentVolumeClaim, CLASSES, classes_of), (PersistentVolume, CLASSES, classes_of))

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {PersistentVolumeClaim: self._user_changed, PersistentVolume: self._user_changed}

    def _user_changed(self, change: Change) -> Iterable[Key]:
        """The classes that are named no more."""
        before = classes_of(change.object if change.type == "DELETED" else change.old or {})
        now = () if change.type == "DELETED" else classes_of(change.object)
        return [Key("", name) for name in before if name not in now]

    async def reconcile(self, key: Key) -> float | None:
        attributes = self.cache.get(VolumeAttributesClass, key)
        if attributes is None:
            return None
        if not is_deleting(attributes):
            wanted = protected(attributes, ATTRIBUTES_PROTECTION)
        elif any(
            self.cache.indexed(kind, CLASSES, key.name) for kind in (PersistentVolumeClaim, PersistentVolume)
        ):
            return None
        else:
            wanted = unprotected(attributes, ATTRIBUTES_PROTECTION)
        if wanted is not None:
            try:
                await self.client.update(VolumeAttributesClass, wanted)
            except NotFound:
                return None
        return None
