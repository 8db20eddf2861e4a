"""configMap: the keys of a ConfigMap as files, kept up to date."""

from collections.abc import Iterator, Mapping

from minikube_py.kubelet.volumes.base import File, ObjectRef, VolumeContext
from minikube_py.kubelet.volumes.content import DEFAULT_MODE, ContentVolume, keyed_files
from minikube_py.meta.objects import Obj


class ConfigMapVolume(ContentVolume):
    source = "configMap"

    def needs(self, volume: Obj, namespace: str) -> Iterator[ObjectRef]:
        yield ObjectRef("ConfigMap", namespace, volume["configMap"]["name"])

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        source = volume["configMap"]
        mode = source.get("defaultMode") or DEFAULT_MODE
        return keyed_files("ConfigMap", source, context.needed("ConfigMap", source, source["name"]), mode)
