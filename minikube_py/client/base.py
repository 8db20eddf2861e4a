"""The client's contract, which `local` and `http` satisfy and one contract suite proves.

Reads that decide what to do come from `cache`: an indexed, read-only view that never waits. Its objects are
shared: copy before changing. Writes go to the API and return the stored object. In one process the cache has
seen every write by the time the write returns.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Change(NamedTuple):
    """type is ADDED, MODIFIED or DELETED; `object` the new state (of a deletion the last one), `old` the one
    before (None for ADDED)."""

    type: str
    kind: Kind
    object: Obj
    old: Obj | None = None

    def keeps(self, told: Callable[[Obj], Any]) -> bool:
        """Whether the object was modified, but nothing of what `told` tells of it."""
        return self.type == "MODIFIED" and self.old is not None and bool(told(self.object) == told(self.old))


Index = Callable[[Obj], Iterable[str]]
"""The values under which an object is found, such as the node name of a pod."""


class Cache(Protocol):
    """A read-only view of the cluster's objects, indexed by owner, and by what else is asked."""

    @property
    def revision(self) -> int:
        """The store revision up to which every subscribed kind is known."""

    def get(self, kind: Kind, key: Key) -> Obj | None:
        """The object, or None."""

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        """All objects of a kind, or those in `namespace`, in no promised order."""

    def owned(self, kind: Kind, uid: str) -> Sequence[Obj]:
        """The objects of a kind that have an owner reference to `uid`."""

    def indexed(self, kind: Kind, index: str, value: str) -> Sequence[Obj]:
        """The objects that `add_index` filed under `value`."""

    def add_index(self, kind: Kind, index: str, of: Index) -> None:
        """File objects of `kind` under the values that `of` gives, now and from now on (idempotent by name)."""

    async def file(self, kind: Kind, index: str, of: Index) -> None:
        """As `add_index`, a few objects at a time where there are many: for whoever can wait."""

    def subscribe(self, kind: Kind, on_change: Callable[[Change], None]) -> Callable[[], None]:
        """Call `on_change` on the loop, first with ADDED for each known object, then for each change, after
        the cache shows it. It must only note the change (enqueue a key). The result unsubscribes."""

    async def follow(self, kind: Kind, on_change: Callable[[Change], None]) -> Callable[[], None]:
        """As `subscribe`, a few objects at a time where there are many: for whoever can wait until all are
        told. Changes come in between, each after what they change."""


class Client(Protocol):
    """Verbs on the API as one user. Errors: the ApiErrors of errors.py."""

    @property
    def cache(self) -> Cache:
        """The view that all clients of a process share."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """The object as stored now, not from the cache."""

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """Store a new object; its metadata names the namespace."""

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        """Replace the object (or its status); with a resourceVersion, only if that is current."""

    async def patch(
        self, kind: Kind, key: Key, body: Any, *, type: str = MERGE_PATCH, subresource: str = ""
    ) -> Obj:
        """Patch the object. An apply patch uses this client's name as field manager and forces."""

    async def delete(self, kind: Kind, key: Key, options: Obj | None = None) -> None:
        """Delete the object; `options` is a DeleteOptions object (preconditions, gracePeriodSeconds, ...)."""

    async def post(self, kind: Kind, key: Key, subresource: str, body: Obj) -> Obj:
        """Create a subresource: binding, eviction, token."""


class Clients(Protocol):
    """Makes clients that act under a component's name, sharing one cache."""

    def named(self, component: str) -> Client:
        """A client for `component`: its user is `system:<component>` or its kube-system ServiceAccount, and
        its field manager is the name."""

    def kinds(self) -> tuple[Kind, ...]:
        """Every kind served now, custom ones too."""
