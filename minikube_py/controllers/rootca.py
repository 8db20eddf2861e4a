"""Root CA publisher: every active namespace has the ConfigMap kube-root-ca.crt with the cluster's CA."""

from collections.abc import Mapping
from typing import ClassVar

from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.podcontrol import namespace_terminating
from minikube_py.errors import AlreadyExists, ApiError, NotFound
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, is_deleting, name_of, namespace_of

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
    "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


class RootCaPublisher(Controller):
    """Keep kube-root-ca.crt right in each namespace; without a CA there is nothing to do."""

    name: ClassVar[str] = "root-ca-certificate-publisher-controller"
    account: ClassVar[str] = "root-ca-cert-publisher"
    reconciles = Namespace

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            ConfigMap: lambda change: (
                (Key("", namespace_of(change.object)),) if name_of(change.object) == NAME else ()
            )
        }

    async def reconcile(self, key: Key) -> float | None:
        namespace = self.cache.get(Namespace, key)
        if namespace is None or is_deleting(namespace) or not self.config.root_ca:
            return None
        wanted = {"ca.crt": self.config.root_ca}
        known = self.cache.get(ConfigMap, Key(key.name, NAME))
        if known is not None and known.get("data") == wanted:
            return None
        if known is not None:
            await self.client.update(ConfigMap, {**known, "data": wanted})
            return None
        annotations = {"kubernetes.io/description": DESCRIPTION}
        meta = {"name": NAME, "namespace": key.name, "annotations": annotations}
        try:
            await self.client.create(
                ConfigMap, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": wanted}
            )
        except (AlreadyExists, NotFound):
            return None
        except ApiError as error:
            if not namespace_terminating(error):
                raise
        return None
