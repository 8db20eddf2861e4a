"""persistentVolumeClaim and ephemeral: volumes that are PersistentVolumes, by a claim of the user's or the
pod's."""

from collections.abc import Iterator
from functools import cached_property

from minikube_py.kubelet.volumes.base import (
    ANY_DRIVER,
    Mounted,
    ObjectRef,
    VolumeContext,
    VolumeFailed,
    VolumeKind,
)
from minikube_py.kubelet.volumes.persistent import (
    Claimed,
    PersistentKind,
    claim_name,
    claimed,
    kind_of,
    persistent_kinds,
)
from minikube_py.meta.objects import Obj, namespace_of


class ClaimVolume(VolumeKind):
    """A volume by a claim; the claim's and its PersistentVolume's changes reach it."""

    source = "persistentVolumeClaim"

    @cached_property
    def _kinds(self) -> dict[str, PersistentKind]:
        return persistent_kinds()

    def needs(self, pod: Obj, volume: Obj) -> Iterator[ObjectRef]:
        yield ObjectRef("PersistentVolumeClaim", namespace_of(pod), claim_name(pod, volume))
        yield ANY_DRIVER

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        found = claimed(context.pod, volume, context.client.cache.get)
        kind = kind_of(found, self._kinds)
        try:
            return await kind.mount(context, found)
        except VolumeFailed as failure:
            failure.name = failure.name or found.name
            raise
        except OSError as error:
            raise VolumeFailed(str(error), name=found.name) from error

    async def refresh(self, context: VolumeContext, volume: Obj) -> None:
        found = self._still(context, volume)
        if found is not None:
            await kind_of(found, self._kinds).refresh(context, found)

    def _still(self, context: VolumeContext, volume: Obj) -> Claimed | None:
        """The claim as it is now; None where it is gone, which a running pod does not mind."""
        try:
            return claimed(context.pod, volume, context.client.cache.get)
        except VolumeFailed:
            return None


class EphemeralVolume(ClaimVolume):
    """A volume by a claim that is made for the pod, and lives as long."""

    source = "ephemeral"
