"""What an admission plugin is: a class that says which writes it wants to see, and changes or refuses them."""

from dataclasses import dataclass
from typing import ClassVar

from minikube_py.aio.clock import Clock
from minikube_py.apiserver import authz
from minikube_py.apiserver.admission.webhooks.metrics import WebhookMetrics
from minikube_py.apiserver.authz import Authorizer
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.webhook_client import WebhookClient
from minikube_py.errors import Forbidden, NotFound
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes
from minikube_py.registry.resource import Registry

CREATE = frozenset(("CREATE",))
WRITES = frozenset(("CREATE", "UPDATE"))
ALL_OPERATIONS = frozenset(("CREATE", "UPDATE", "DELETE", "CONNECT"))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What plugins may look at."""

    registry: Registry
    authorizer: Authorizer
    clock: Clock
    webhooks: WebhookClient | None = None
    """What calls webhooks, closed by its owner; None: the plugins make their own."""
    webhook_metrics: WebhookMetrics | None = None
    config: ApiServerConfig | None = None
    """What the API server was told; None: what is off by default stays off."""


class Plugin:
    """One admission plugin. `resources` are those it wants to see, as `pods` or `pods/status` (with the group:
    `deployments.apps`); none means all of them."""

    name: ClassVar[str] = ""
    operations: ClassVar[frozenset[str]] = CREATE
    resources: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, surroundings: Surroundings) -> None:
        self.registry = surroundings.registry
        self.authorizer = surroundings.authorizer
        self.clock = surroundings.clock

    @classmethod
    def enabled(cls, surroundings: Surroundings) -> bool:
        """Whether it runs here; some are off unless the configuration turns them on."""
        return True

    def mutates(self, operation: str, resource: str) -> bool:
        """Whether `mutate` sees an operation on a resource (with its subresource). Asked once for each."""
        return wants(self, operation, resource)

    def validates(self, operation: str, resource: str) -> bool:
        """Whether `validate` sees it."""
        return wants(self, operation, resource)

    async def mutate(self, request: Attributes) -> None:
        """Change `request.object` in place, or refuse it by raising an ApiError. On an update the object may
        share what lies deeper than the fields of a part (`spec.<field>`) with the stored one: such a field is
        replaced, never changed in place."""

    async def validate(self, request: Attributes) -> None:
        """Refuse by raising an ApiError; changes nothing."""

    def lookup(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """The stored object, shared and read-only, or None."""
        try:
            return self.registry.decoded(self.registry.get(kind, namespace, name))
        except NotFound:
            return None


def wants(plugin: Plugin, operation: str, resource: str) -> bool:
    """Whether the plugin names an operation and a resource (with its subresource)."""
    return operation in plugin.operations and (not plugin.resources or resource in plugin.resources)


def forbid(request: Attributes, why: str) -> Forbidden:
    """The refusal of a request: `pods "x" is forbidden: why`."""
    return authz.forbidden(request.kind.group, request.kind.plural, name_in(request), why)


def name_in(request: Attributes) -> str:
    """The object's name, or the prefix that one is generated from."""
    metadata = (request.object or {}).get("metadata") or {}
    return request.name or metadata.get("name") or metadata.get("generateName") or ""


def object_of(request: Attributes) -> Obj:
    """The object that is written."""
    if request.object is None:
        raise ValueError(f"{request.operation} {request.kind.kind} carries no object")
    return request.object
