"""secret: the keys of a Secret as files in memory, kept up to date."""

from collections.abc import Iterator, Mapping

from minikube_py.kubelet.volumes.base import File, ObjectRef, VolumeContext
from minikube_py.kubelet.volumes.content import ContentVolume, known_files, mode_of
from minikube_py.meta.objects import Obj, namespace_of


class SecretVolume(ContentVolume):
    source = "secret"
    in_memory = True

    def needs(self, pod: Obj, volume: Obj) -> Iterator[ObjectRef]:
        yield ObjectRef("Secret", namespace_of(pod), volume["secret"].get("secretName", ""))

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        [source] = self.sources(volume)
        return known_files(context, source, mode_of(volume["secret"]))

    def sources(self, volume: Obj) -> list[Obj]:
        source = volume["secret"]
        return [{"secret": {**source, "name": source.get("secretName", "")}}]
