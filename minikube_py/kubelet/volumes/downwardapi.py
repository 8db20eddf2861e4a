"""downwardAPI: facts of the pod itself as files, kept up to date."""

from collections.abc import Mapping

from minikube_py.kubelet.volumes.base import File, VolumeContext
from minikube_py.kubelet.volumes.content import ContentVolume, downward_files, mode_of
from minikube_py.meta.objects import Obj


class DownwardApiVolume(ContentVolume):
    source = "downwardAPI"
    in_memory = True

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        source = volume["downwardAPI"]
        return downward_files(context, source.get("items") or [], mode_of(source))
