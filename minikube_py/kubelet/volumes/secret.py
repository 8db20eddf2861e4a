"""secret: the keys of a Secret as files in memory, kept up to date."""

from collections.abc import Iterator, Mapping

from minikube_py.kubelet.volumes.base import File, ObjectRef, VolumeContext
from minikube_py.kubelet.volumes.content import DEFAULT_MODE, ContentVolume, keyed_files
from minikube_py.meta.objects import Obj


class SecretVolume(ContentVolume):
    source = "secret"
    in_memory = True

    def needs(self, volume: Obj, namespace: str) -> Iterator[ObjectRef]:
        yield ObjectRef("Secret", namespace, volume["secret"]["secretName"])

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        source = volume["secret"]
        mode = source.get("defaultMode") or DEFAULT_MODE
        return keyed_files("Secret", source, context.needed("Secret", source, source["secretName"]), mode)
