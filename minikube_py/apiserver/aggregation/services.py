"""APIServices: which group versions another server serves, current with the registry."""

from collections.abc import Callable
from dataclasses import dataclass

from minikube_py.apiserver.aggregation.priorities import Priority, priority_of
from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.meta.objects import Obj, condition_is, name_of
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

GroupVersion = tuple[str, str]
DEFAULT_PORT = 443
AGGREGATOR = User("system:kube-aggregator", groups=("system:masters", "system:authenticated"))
"""As whom this server asks others for their documents, and writes what it finds."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A group version that is served behind a Service."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    bundle: str
    """base64 of PEM; empty: the machine's roots."""
    insecure: bool
    available: bool

    @property
    def server_name(self) -> str:
        """The name that its certificate must have."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def path(self) -> str:
        """Where its discovery document is."""
        return f"/apis/{self.group}/{self.version}"


def remote_of(service: Obj) -> Remote | None:
    """What an APIService says of another server; None for a group version that is served here."""
    spec = service.get("spec") or {}
    backend = spec.get("service")
    if not backend:
        return None
    return Remote(
        name=name_of(service),
        group=spec.get("group") or "",
        version=spec.get("version") or "",
        namespace=backend.get("namespace") or "",
        service=backend.get("name") or "",
        port=int(backend.get("port") or DEFAULT_PORT),
        bundle=spec.get("caBundle") or "",
        insecure=spec.get("insecureSkipTLSVerify") is True,
        available=condition_is(service, "Available"),
    )


class APIServices:
    """Every APIService; `generation` rises with each change that discovery shows."""

    def __init__(self, registry: Registry) -> None:
        self.objects: dict[str, Obj] = {}
        self.remotes: dict[GroupVersion, Remote] = {}
        self.generation = 0
        self._by_name: dict[str, Remote] = {}
        self._priorities: dict[GroupVersion, Priority] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.close: Callable[[], None] = registry.follow(APIService, self._put, self._remove)
        """Follow the registry no longer."""

    def on_change(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with the name of each APIService that there is, and then of each that changes. The
        result ends it."""
        self._listeners.append(listener)
        for name in self.objects:
            listener(name)
        return lambda: self._listeners.remove(listener)

    def priority(self, group: str, version: str) -> Priority:
        """The priority that a group version's APIService gives it."""
        return self._priorities.get((group, version)) or priority_of(group, version)

    def _put(self, service: Obj) -> None:
        name, spec = name_of(service), service.get("spec") or {}
        self._forget(name)
        self.objects[name] = service
        key = (spec.get("group") or "", spec.get("version") or "")
        given = spec.get("groupPriorityMinimum") or 0, spec.get("versionPriority") or 0
        self._priorities[key] = Priority(*given)
        remote = remote_of(service)
        if remote is not None:
            self._by_name[name] = self.remotes[key] = remote
        self._changed(name)

    def _remove(self, service: Obj) -> None:
        self._forget(name_of(service))
        self._changed(name_of(service))

    def _forget(self, name: str) -> None:
        known = self.objects.pop(name, None)
        if known is None:
            return
        spec = known.get("spec") or {}
        key = (spec.get("group") or "", spec.get("version") or "")
        self._priorities.pop(key, None)
        self.remotes.pop(key, None)
        self._by_name.pop(name, None)

    def _changed(self, name: str) -> None:
        self.generation += 1
        for listener in self._listeners:
            listener(name)

    def remote(self, name: str) -> Remote | None:
        """What the APIService of that name says of another server, or None."""
        return self._by_name.get(name)
