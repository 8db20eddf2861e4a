"""downwardAPI: facts of the pod itself as files, kept up to date."""

from collections.abc import Mapping

from minikube_py.kubelet.volumes.base import File, VolumeContext
from minikube_py.kubelet.volumes.content import ContentVolume, known_files, mode_of
from minikube_py.meta.objects import Obj


class DownwardApiVolume(ContentVolume):
    source = "downwardAPI"
    in_memory = True

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        return known_files(context, volume, mode_of(volume["downwardAPI"]))

    def sources(self, volume: Obj) -> list[Obj]:
        return [volume]
