"""The local client: the registry called in process, and a cache straight over its decoded objects.

Guarantees: the cache shows a write before the write returns; an object is decoded at most once in the process
and shared by every reader, so the cache costs references only. What verbs return is the caller's own copy.
"""

from collections.abc import Callable
from typing import Any

from minikube_py.aio.turns import Turns
from minikube_py.client.base import APPLY_PATCH, MERGE_PATCH
from minikube_py.client.cache import Table, Tables
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, copy, name_of, namespace_of
from minikube_py.registry.base import Context, Patch, User
from minikube_py.registry.deletion import delete_options
from minikube_py.registry.following import Following
from minikube_py.registry.resource import Registry


class LocalCache(Tables):
    """A Cache that follows the store's commits; a kind is filed when it is first asked for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._tables: dict[tuple[str, str], Table] = {}
        self._coming: dict[tuple[str, str], tuple[Table, Following]] = {}  # those that are not filled yet
        self._unsubscribe: list[Callable[[], None]] = []

    @property
    def revision(self) -> int:
        """The store's revision: the cache is told of a commit before the commit returns."""
        return self._registry.revision

    def close(self) -> None:
        """Follow the store no longer."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self._tables.clear()
        self._coming.clear()

    def _table(self, kind: Kind) -> Table:
        identity = (kind.api_version, kind.kind)
        table = self._tables.get(identity)
        if table is not None:
            return table
        while self._fill(identity, kind):
            pass
        return self._tables[identity]

    async def _made(self, kind: Kind) -> Table:
        identity = (kind.api_version, kind.kind)
        turns = Turns()
        while self._fill(identity, kind):
            await turns.pause()
        return self._tables[identity]

    def _fill(self, identity: tuple[str, str], kind: Kind) -> bool:
        """Put a few objects more into a kind's table; whether others are left."""
        if identity in self._tables:
            return False
        if identity not in self._coming:
            table = Table(kind)
            following = self._registry.following(kind, table.put, table.remove)
            self._unsubscribe.append(following.close)
            self._coming[identity] = table, following
        table, following = self._coming[identity]
        if following.meet():
            return True
        self._tables[identity], _ = self._coming.pop(identity)
        return False


class LocalClient:
    """A Client that acts as one user under one component's name."""

    def __init__(self, registry: Registry, cache: LocalCache, component: str, user: User) -> None:
        self._registry = registry
        self.cache = cache
        self.component = component
        self.user = user

    def _context(self) -> Context:
        return Context(self.user, field_manager=self.component, user_agent=self.component)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        return own(self._registry.decoded(await self._registry.read(kind, namespace, name)))

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        entry = await self._registry.create(kind, namespace_of(obj), copy(obj), self._context())
        return own(self._registry.decoded(entry))

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        namespace, name = namespace_of(obj), name_of(obj)
        sent = copy(_status_of(obj) if subresource == "status" and kind.schema is None else obj)
        entry, _ = await self._registry.update(kind, namespace, name, sent, self._context(), subresource)
        return own(self._registry.decoded(entry))

    async def patch(
        self, kind: Kind, key: Key, body: Any, *, type: str = MERGE_PATCH, subresource: str = ""
    ) -> Obj:
        patch = Patch(type, copy(body), force=type == APPLY_PATCH)
        entry, _ = await self._registry.patch(kind, *key, patch, self._context(), subresource)
        return own(self._registry.decoded(entry))

    async def delete(self, kind: Kind, key: Key, options: Obj | None = None) -> None:
        context = self._context()
        context.dry_run = bool(options and options.get("dryRun"))
        await self._registry.delete(kind, *key, delete_options(options or {}), context)

    async def post(self, kind: Kind, key: Key, subresource: str, body: Obj) -> Obj:
        return await self._registry.post(kind, *key, subresource, copy(body), self._context())


def _status_of(obj: Obj) -> Obj:
    """What a write to a built-in object's status looks at."""
    return {key: part for key, part in obj.items() if key in ("apiVersion", "kind", "metadata", "status")}


def own(shared: Obj) -> Obj:
    """The caller's own copy of a shared object."""
    copied: Obj = copy(shared)
    return copied


def user_of(component: str) -> User:
    """The user that a component is: a controller its ServiceAccount, others `system:<component>`."""
    if component.endswith("-controller"):
        return User(
            f"system:serviceaccount:kube-system:{component}",
            groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
        )
    return User(f"system:{component}", groups=("system:authenticated",))


class LocalClients:
    """Clients over one registry, sharing one cache."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.cache = LocalCache(registry)

    def named(self, component: str, user: User | None = None) -> LocalClient:
        """A client for `component`; `user` in place of the one that its name implies."""
        return LocalClient(self.registry, self.cache, component, user or user_of(component))

    def kinds(self) -> tuple[Kind, ...]:
        """Every kind served now, custom ones too."""
        return self.registry.catalogue.all()
