"""Bootstrap signer: signs the kubeconfig of the ConfigMap cluster-info by each bootstrap token, so that who has
a token can trust it. Without that ConfigMap there is nothing to do."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.bootstrap.tokens import NAMESPACE, is_token, seconds_left, signature, signing_token
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.secret import Secret
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, is_deleting, key_of

INFO = Key("kube-public", "cluster-info")
CONTENT, SIGNATURE = "kubeconfig", "jws-kubeconfig-"


class BootstrapSigner(Controller):
    """Keep the signatures of cluster-info."""

    name: ClassVar[str] = "bootstrap-signer-controller"
    account: ClassVar[str] = "bootstrap-signer"

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            Secret: lambda change: (INFO,) if is_token(change.object) else (),
            ConfigMap: self._info_changed,
        }

    def _info_changed(self, change: Change) -> Iterable[Key]:
        return (INFO,) if key_of(change.object) == INFO else ()

    async def reconcile(self, key: Key) -> float | None:
        info, now = self.cache.get(ConfigMap, key), self.clock.now()
        content = (info or {}).get("data", {}).get(CONTENT)
        if info is None or is_deleting(info) or content is None:
            return None
        secrets = [s for s in self.cache.list(Secret, NAMESPACE) if is_token(s) and not is_deleting(s)]
        tokens = [token for secret in secrets if (token := signing_token(secret, now)) is not None]
        data = {k: v for k, v in info["data"].items() if not k.startswith(SIGNATURE)}
        data |= {f"{SIGNATURE}{token.id}": signature(content, token) for token in tokens}
        if data != info["data"]:
            wanted: Obj = {**info, "data": data}
            await self.client.update(ConfigMap, wanted)
        left = (seconds_left(secret, now) for secret in secrets)
        return min((seconds for seconds in left if seconds and seconds > 0), default=None)
