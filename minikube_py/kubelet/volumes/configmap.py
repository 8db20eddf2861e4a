"""configMap: the keys of a ConfigMap as files, kept up to date."""

from collections.abc import Iterator, Mapping

from minikube_py.kubelet.volumes.base import File, ObjectRef, VolumeContext
from minikube_py.kubelet.volumes.content import ContentVolume, known_files, mode_of
from minikube_py.meta.objects import Obj, namespace_of


class ConfigMapVolume(ContentVolume):
    source = "configMap"

    def needs(self, pod: Obj, volume: Obj) -> Iterator[ObjectRef]:
        yield ObjectRef("ConfigMap", namespace_of(pod), volume["configMap"].get("name", ""))

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        return known_files(context, volume, mode_of(volume["configMap"]))

    def sources(self, volume: Obj) -> list[Obj]:
        return [volume]
