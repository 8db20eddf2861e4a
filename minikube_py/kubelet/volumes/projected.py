"""projected: several sources in one directory, among them ServiceAccount tokens bound to the pod.

A source that fails does not hide another's failure: all are told, as Kubernetes tells several errors.
"""

from collections.abc import Iterator, Mapping

from minikube_py.kubelet.volumes.atomic import check_path
from minikube_py.kubelet.volumes.base import File, ObjectRef, VolumeContext, VolumeFailed
from minikube_py.kubelet.volumes.content import ContentVolume, known_files, mode_of
from minikube_py.kubelet.volumes.ownership import group_of, user_of
from minikube_py.kubelet.volumes.tokens import Tokens
from minikube_py.meta.objects import Obj, namespace_of

TOKEN_MODE = 0o600
"""A token's mode where the pod says which user or group is to read it."""


class ProjectedVolume(ContentVolume):
    source = "projected"
    in_memory = True

    def __init__(self) -> None:
        self._tokens = Tokens()

    def needs(self, pod: Obj, volume: Obj) -> Iterator[ObjectRef]:
        for source in volume["projected"].get("sources") or ():
            for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                if field in source:
                    yield ObjectRef(kind, namespace_of(pod), source[field].get("name", ""))

    def sources(self, volume: Obj) -> list[Obj]:
        return volume["projected"].get("sources") or []

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        whole = volume["projected"]
        mode = mode_of(whole)
        files: dict[str, File] = {}
        failures: list[str] = []
        context.refresh_at.pop(volume["name"], None)
        for source in whole.get("sources") or ():
            try:
                files |= await self._source(context, volume["name"], source, mode)
            except VolumeFailed as failure:
                failures.append(str(failure))
        if failures:
            several = list(dict.fromkeys(failures))
            raise VolumeFailed(several[0] if len(several) == 1 else f"[{', '.join(several)}]")
        return files

    async def _source(self, context: VolumeContext, volume: str, source: Obj, mode: int) -> dict[str, File]:
        if any(field in source for field in ("configMap", "secret", "downwardAPI")):
            return known_files(context, source, mode)
        if ref := source.get("serviceAccountToken"):
            token = await self._tokens.get(context, volume, ref["path"], ref)
            user = user_of(context.pod)
            owned = user is not None or group_of(context.pod) is not None
            file = File(token.text.encode(), TOKEN_MODE if owned else mode, user)
            return {check_path(ref["path"]): file}
        if source:
            raise VolumeFailed(f"{', '.join(source)} projection is not supported by this node")
        return {}  # what the API server has dropped

    def forget(self, uid: str) -> None:
        self._tokens.forget(uid)
