"""ServiceAccount controller: every active namespace has a ServiceAccount named default."""

from collections.abc import Mapping
from typing import ClassVar

from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.podcontrol import namespace_terminating
from minikube_py.errors import AlreadyExists, ApiError, NotFound
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, is_deleting, name_of, namespace_of

DEFAULT = "default"


class ServiceAccountController(Controller):
    """Make the default ServiceAccount again where it was deleted."""

    name: ClassVar[str] = "serviceaccount-controller"
    account: ClassVar[str] = "service-account-controller"
    reconciles = Namespace

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            ServiceAccount: lambda change: (
                (Key("", namespace_of(change.object)),)
                if change.type == "DELETED" and name_of(change.object) == DEFAULT
                else ()
            )
        }

    async def reconcile(self, key: Key) -> float | None:
        namespace = self.cache.get(Namespace, key)
        if namespace is None or is_deleting(namespace):
            return None
        if self.cache.get(ServiceAccount, Key(key.name, DEFAULT)) is not None:
            return None
        meta = {"name": DEFAULT, "namespace": key.name}
        try:
            await self.client.create(
                ServiceAccount, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
            )
        except (AlreadyExists, NotFound):
            return None
        except ApiError as error:
            if not namespace_terminating(error):
                raise
        return None
