"""ServiceAccount tokens bound to a pod, asked for anew once 80% of their life (at most a day) has passed."""

from typing import NamedTuple

from minikube_py.errors import ApiError
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kubelet.volumes.base import VolumeContext, VolumeFailed
from minikube_py.meta.objects import Key, Obj, name_of, namespace_of, parse_time, uid_of

LIFE_USED = 0.8
LONGEST_USE = 24 * 3600.0  # seconds
DEFAULT_LIFE = 3600  # seconds


class Token(NamedTuple):
    """A token, when it ends as the API says it, and when to renew it (seconds since the epoch)."""

    text: str
    expires: str
    renew_at: float


class Tokens:
    """The tokens that pods hold, by pod, volume and use."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Token] = {}

    async def get(self, context: VolumeContext, volume: str, use: str, source: Obj) -> Token:
        """A token that need not be renewed yet. `source` has audience and expirationSeconds; `use` tells apart
        those of one volume. Notes when the volume wants to be refreshed. Errors: VolumeFailed."""
        place = (uid_of(context.pod), volume, use)
        now = context.clock.now().timestamp()
        known = self._known.get(place)
        if known is None or known.renew_at <= now:
            known = self._known[place] = await _request(context, source)
        context.refresh_at[volume] = min(known.renew_at, context.refresh_at.get(volume, known.renew_at))
        return known

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        for place in [place for place in self._known if place[0] == uid]:
            del self._known[place]


async def _request(context: VolumeContext, source: Obj) -> Token:
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
    status = answer["status"]
    life = parse_time(status["expirationTimestamp"]).timestamp() - now
    return Token(
        status["token"], status["expirationTimestamp"], now + min(LONGEST_USE, max(1.0, LIFE_USED * life))
    )
