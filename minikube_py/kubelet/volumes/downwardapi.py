"""downwardAPI: facts of the pod itself as files."""

from collections.abc import Mapping

from minikube_py.kubelet.volumes.base import File, VolumeContext
from minikube_py.kubelet.volumes.content import DEFAULT_MODE, ContentVolume, downward_files
from minikube_py.meta.objects import Obj


class DownwardApiVolume(ContentVolume):
    source = "downwardAPI"

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        source = volume["downwardAPI"]
        return downward_files(context, source.get("items") or [], source.get("defaultMode") or DEFAULT_MODE)
