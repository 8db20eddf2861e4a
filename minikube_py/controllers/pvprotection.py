"""PV protection controller: a volume that is being deleted goes once no claim is bound to it.

Volumes that lack the finalizer get it.
"""

from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.errors import NotFound
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.protection import VOLUME_PROTECTION, protected, unprotected
from minikube_py.meta.objects import Key, dig, is_deleting


class PvProtectionController(Controller):
    """Take the finalizer from volumes that are not bound."""

    name: ClassVar[str] = "pv-protection-controller"
    reconciles = PersistentVolume

    async def reconcile(self, key: Key) -> float | None:
        volume = self.cache.get(PersistentVolume, key)
        if volume is None:
            return None
        if not is_deleting(volume):
            wanted = protected(volume, VOLUME_PROTECTION)
        elif dig(volume, "status.phase") != "Bound":
            wanted = unprotected(volume, VOLUME_PROTECTION)
        else:
            return None
        if wanted is not None:
            try:
                await self.client.update(PersistentVolume, wanted)
            except NotFound:
                return None
        return None
