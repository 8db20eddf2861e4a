"""projected: several sources in one directory, among them ServiceAccount tokens bound to the pod.

A token is asked for anew once 80% of its life (at most a day) has passed, as Kubernetes does.
"""

from collections.abc import Iterator, Mapping

from minikube_py.errors import ApiError
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kubelet.volumes.atomic import check_path
from minikube_py.kubelet.volumes.base import File, ObjectRef, VolumeContext, VolumeFailed
from minikube_py.kubelet.volumes.content import DEFAULT_MODE, ContentVolume, downward_files, keyed_files
from minikube_py.meta.objects import Key, Obj, name_of, namespace_of, parse_time, uid_of

LIFE_USED = 0.8
LONGEST_USE = 24 * 3600.0  # seconds
DEFAULT_LIFE = 3600  # seconds


class ProjectedVolume(ContentVolume):
    source = "projected"
    in_memory = True

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str, str], tuple[bytes, float]] = {}  # pod, volume, path > token, renewal

    def needs(self, volume: Obj, namespace: str) -> Iterator[ObjectRef]:
        for source in volume["projected"].get("sources") or ():
            for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                if field in source:
                    yield ObjectRef(kind, namespace, source[field]["name"])

    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        whole = volume["projected"]
        mode = whole.get("defaultMode") or DEFAULT_MODE
        files: dict[str, File] = {}
        context.refresh_at.pop(volume["name"], None)
        for source in whole.get("sources") or ():
            if ref := source.get("configMap"):
                files |= keyed_files("ConfigMap", ref, context.needed("ConfigMap", ref, ref["name"]), mode)
            elif ref := source.get("secret"):
                files |= keyed_files("Secret", ref, context.needed("Secret", ref, ref["name"]), mode)
            elif ref := source.get("downwardAPI"):
                files |= downward_files(context, ref.get("items") or [], mode)
            elif ref := source.get("serviceAccountToken"):
                token = await self._token(context, volume["name"], ref)
                files[check_path(ref["path"])] = File(token, mode)
            else:
                raise VolumeFailed(f"projected source {', '.join(source)} is not supported")
        return files

    async def _token(self, context: VolumeContext, volume: str, source: Obj) -> bytes:
        place = (uid_of(context.pod), volume, source["path"])
        now = context.clock.now().timestamp()
        known = self._tokens.get(place)
        if known is None or known[1] <= now:
            known = self._tokens[place] = await _request(context, source)
        context.refresh_at[volume] = min(known[1], context.refresh_at.get(volume, known[1]))
        return known[0]

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        for place in [place for place in self._tokens if place[0] == uid]:
            del self._tokens[place]


async def _request(context: VolumeContext, source: Obj) -> tuple[bytes, float]:
    """A new token and when to renew it (seconds since the epoch). Errors: VolumeFailed."""
    pod = context.pod
    account = pod["spec"].get("serviceAccountName") or "default"
    asked = source.get("expirationSeconds") or DEFAULT_LIFE
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [source["audience"]] if source.get("audience") else [],
            "expirationSeconds": asked,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": name_of(pod),
                "uid": uid_of(pod),
            },
        },
    }
    try:
        answer = await context.client.post(ServiceAccount, Key(namespace_of(pod), account), "token", body)
    except ApiError as error:
        raise VolumeFailed(f"failed to fetch token: {error}") from error
    now = context.clock.now().timestamp()
    life = parse_time(answer["status"]["expirationTimestamp"]).timestamp() - now
    return answer["status"]["token"].encode(), now + min(LONGEST_USE, LIFE_USED * life)
