"""Garbage collector: deletes objects whose owners are all gone, of any kind; foreground and orphan deletion.

The graph is the cache's owner index: nothing is kept twice. Event driven, with no idle work: an object is
looked at when it appears with an owner that the cache does not show, when an owner goes, when its references
change, or when its deletion waits for dependents. That an owner is absent is always proved by a live read.
Limits: an owner of a kind that is not served counts as present, as it cannot be proved absent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.errors import NotFound
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    owner_references,
    uid_of,
)

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
IGNORED = frozenset({"events", "events.events.k8s.io"})
NOWHERE = 10_000
"""Owners that are known to be gone; each is looked for once only."""


class Item(NamedTuple):
    """One object: the resource, its key and uid."""

    resource: str
    key: Key
    uid: str


RESYNC = Item("", Key("", ""), "")
"""The kinds served have changed."""


@dataclass(slots=True)
class Owners:
    """An object's owner references, sorted by the state of the owners."""

    solid: list[Obj] = field(default_factory=list)
    absent: list[Obj] = field(default_factory=list)
    waiting: list[Obj] = field(default_factory=list)


def finalizers_of(obj: Obj) -> Sequence[str]:
    return obj["metadata"].get("finalizers") or ()


def waits_for_dependents(obj: Obj) -> bool:
    """Whether the object is deleted in the foreground."""
    return is_deleting(obj) and FOREGROUND in finalizers_of(obj)


def orphans_dependents(obj: Obj) -> bool:
    return is_deleting(obj) and ORPHAN in finalizers_of(obj)


def references(obj: Obj, uid: str) -> Obj | None:
    """The reference of `obj` to the owner `uid`."""
    return next((ref for ref in owner_references(obj) if ref.get("uid") == uid), None)


def blocks(dependent: Obj, uid: str) -> bool:
    """Whether `dependent` holds up the foreground deletion of its owner `uid`."""
    return bool((references(dependent, uid) or {}).get("blockOwnerDeletion"))


def policy_of(obj: Obj) -> str:
    """How to delete an object that is not wanted any more: as its finalizers ask."""
    if ORPHAN in finalizers_of(obj):
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers_of(obj) else "Background"


class GarbageCollector(Controller):
    """Delete what nobody owns any more."""

    name: ClassVar[str] = "garbage-collector-controller"
    account: ClassVar[str] = "generic-garbage-collector"
    workers: ClassVar[int] = 20

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._by_name: dict[tuple[str, str], Kind] = {}
        self._nowhere: set[str] = set()  # uids of owners that are in no namespace; a uid never comes back

    def watches(self) -> Mapping[Kind, KeysOf]:
        self._follow()
        return {}

    def _follow(self) -> tuple[Kind, ...]:
        return self.follow_every_kind(self._changed, IGNORED)

    def _changed(self, change: Change) -> Iterable[Item]:
        obj, old, kind = change.object, change.old, change.kind
        if kind.kind == "CustomResourceDefinition":
            self.queue.add(RESYNC)
        if change.type == "DELETED":
            return self._after_deletion(obj)
        refs = owner_references(obj)
        if change.type == "MODIFIED" and old is not None:
            return self._after_change(kind, obj, old)
        if is_deleting(obj) and (waits_for_dependents(obj) or orphans_dependents(obj)):
            return (_item(kind, obj),)
        return (_item(kind, obj),) if refs and not self._all_solid(obj, refs) else ()

    def _after_deletion(self, obj: Obj) -> list[Item]:
        items = [_item(kind, dependent) for kind, dependent in self._dependents(uid_of(obj))]
        return items + self._waiting_owners(obj)

    def _after_change(self, kind: Kind, obj: Obj, old: Obj) -> list[Item]:
        meta, before = obj["metadata"], old["metadata"]
        same_refs = meta.get("ownerReferences") == before.get("ownerReferences")
        same_end = meta.get("deletionTimestamp") == before.get("deletionTimestamp") and meta.get(
            "finalizers"
        ) == before.get("finalizers")
        items: list[Item] = []
        if not same_refs:
            items += [_item(kind, obj), *self._waiting_owners(old)]
        if not same_end and (waits_for_dependents(obj) or orphans_dependents(obj)):
            items.append(_item(kind, obj))
        return items

    def _waiting_owners(self, obj: Obj) -> list[Item]:
        """The owners that wait for `obj` to go."""
        found = []
        for ref in owner_references(obj):
            kind, owner = self._owner(obj, ref)
            if kind is not None and owner is not None and waits_for_dependents(owner):
                found.append(_item(kind, owner))
        return found

    def _dependents(self, uid: str) -> list[tuple[Kind, Obj]]:
        kinds = [kind for kind in self._followed.values() if kind.resource not in IGNORED]
        return [(kind, obj) for kind in kinds for obj in self.cache.owned(kind, uid)]

    def _kind_of(self, ref: Obj) -> Kind | None:
        if len(self._by_name) != len(self._followed):
            self._by_name = {(kind.group, kind.kind): kind for kind in self._followed.values()}
        return self._by_name.get((ref.get("apiVersion", "").rpartition("/")[0], ref.get("kind", "")))

    def _owner(self, obj: Obj, ref: Obj) -> tuple[Kind | None, Obj | None]:
        """The kind that a reference names, and the owner if the cache has it with that uid."""
        kind = self._kind_of(ref)
        if kind is None or (kind.namespaced and not namespace_of(obj)):
            return kind, None
        owner = self.cache.get(kind, Key(namespace_of(obj) if kind.namespaced else "", ref["name"]))
        return kind, owner if owner is not None and uid_of(owner) == ref.get("uid") else None

    def _all_solid(self, obj: Obj, refs: Iterable[Obj]) -> bool:
        owners = [self._owner(obj, ref)[1] for ref in refs]
        return all(owner is not None and not waits_for_dependents(owner) for owner in owners)

    async def reconcile(self, key: Item) -> float | None:
        self._follow()
        kind = self._followed.get(key.resource)
        obj = self.cache.get(kind, key.key) if kind is not None else None
        if kind is None or obj is None or uid_of(obj) != key.uid:
            return None
        try:
            if orphans_dependents(obj):
                await self._orphan(kind, obj)
            elif waits_for_dependents(obj):
                await self._foreground(kind, obj)
            elif not is_deleting(obj):
                await self._collect(kind, obj)
        except NotFound:
            return None
        return None

    async def _orphan(self, kind: Kind, owner: Obj) -> None:
        """Free the dependents of `owner`, then let it go."""
        for dependent_kind, dependent in self._dependents(uid_of(owner)):
            try:
                await self._drop_references(dependent_kind, dependent, {uid_of(owner)})
            except NotFound:
                continue
        await self._drop_finalizer(kind, owner, ORPHAN)

    async def _foreground(self, kind: Kind, owner: Obj) -> None:
        """Let `owner` go once no blocking dependent is left; the dependents are looked at."""
        dependents = self._dependents(uid_of(owner))
        if not any(blocks(dependent, uid_of(owner)) for _, dependent in dependents):
            await self._drop_finalizer(kind, owner, FOREGROUND)
        for dependent_kind, dependent in dependents:
            if not is_deleting(dependent):
                self.queue.add(_item(dependent_kind, dependent))

    async def _collect(self, kind: Kind, obj: Obj) -> None:
        refs = owner_references(obj)
        if not refs:
            return
        owners = await self._classify(obj, refs)
        gone = {ref["uid"] for ref in (*owners.absent, *owners.waiting)}
        if owners.solid:
            if gone:
                await self._drop_references(kind, obj, gone)
            return
        dependents = self._dependents(uid_of(obj)) if owners.waiting else []
        if dependents:
            if any(waits_for_dependents(dependent) for _, dependent in dependents):
                await self._unblock(kind, obj)  # owners in a circle would wait for each other for ever
            await self._delete(kind, obj, "Foreground")
        else:
            await self._delete(kind, obj, policy_of(obj))

    async def _classify(self, obj: Obj, refs: Iterable[Obj]) -> Owners:
        found = Owners()
        for ref in refs:
            kind, owner = self._owner(obj, ref)
            if owner is None and kind is not None:
                owner = await self._live_owner(kind, obj, ref)
            elif kind is None:
                owner = ref
            if owner is None:
                found.absent.append(ref)
            elif owner is not ref and waits_for_dependents(owner):
                found.waiting.append(ref)
            else:
                found.solid.append(ref)
        return found

    async def _live_owner(self, kind: Kind, obj: Obj, ref: Obj) -> Obj | None:
        """The owner as the API has it; the reference itself where it cannot be proved absent."""
        namespace = namespace_of(obj) if kind.namespaced else ""
        if kind.namespaced and not namespace:
            self._warn_namespace(kind, obj, ref)
            return ref
        try:
            owner = await self.client.get(kind, ref["name"], namespace)
        except NotFound:
            self._warn_namespace(kind, obj, ref)
            return None
        return owner if uid_of(owner) == ref.get("uid") else None

    def _warn_namespace(self, kind: Kind, obj: Obj, ref: Obj) -> None:
        """Tell of a reference to an owner in another namespace, which can never hold."""
        uid = ref.get("uid", "")
        if uid in self._nowhere:
            return
        if not any(uid_of(other) == uid for other in self.cache.list(kind)):
            if len(self._nowhere) >= NOWHERE:
                self._nowhere.clear()
            self._nowhere.add(uid)
            return
        where = namespace_of(obj)
        identity = (
            f"{ref['apiVersion']}/{ref['kind']}, namespace: {where}, name: {ref['name']}, uid: {ref['uid']}"
        )
        message = f'ownerRef [{identity}] does not exist in namespace "{where}"'
        self.events.record(obj, "Warning", "OwnerRefInvalidNamespace", message)

    async def _drop_references(self, kind: Kind, obj: Obj, uids: set[str]) -> None:
        left = [ref for ref in owner_references(obj) if ref.get("uid") not in uids]
        await self._patch_meta(kind, obj, {"ownerReferences": left or None})

    async def _drop_finalizer(self, kind: Kind, obj: Obj, finalizer: str) -> None:
        left = [name for name in finalizers_of(obj) if name != finalizer]
        await self._patch_meta(kind, obj, {"finalizers": left or None})

    async def _unblock(self, kind: Kind, obj: Obj) -> None:
        refs = [{**ref, "blockOwnerDeletion": False} for ref in owner_references(obj)]
        await self._patch_meta(kind, obj, {"ownerReferences": refs})

    async def _patch_meta(self, kind: Kind, obj: Obj, change: Obj) -> None:
        meta = obj["metadata"]
        held = {"resourceVersion": meta["resourceVersion"], "uid": meta["uid"]}
        await self.client.patch(kind, key_of(obj), {"metadata": {**held, **change}})

    async def _delete(self, kind: Kind, obj: Obj, propagation: str) -> None:
        fresh = self.cache.get(kind, key_of(obj)) or obj
        conditions = {"uid": uid_of(obj), "resourceVersion": fresh["metadata"]["resourceVersion"]}
        options = {"propagationPolicy": propagation, "preconditions": conditions}
        await self.client.delete(kind, key_of(obj), options)


def _item(kind: Kind, obj: Obj) -> Item:
    return Item(kind.resource, Key(namespace_of(obj), name_of(obj)), uid_of(obj))
