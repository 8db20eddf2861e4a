"""Which objects a controller's owner has: those it controls, plus matching orphans it adopts, less those
whose labels no longer match, which it releases.

Guarantees: an object that another controller owns is never touched; adoption happens only after a live read
shows the same owner (uid) not being deleted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from minikube_py.client.base import STRATEGIC_PATCH, Cache, Change, Client
from minikube_py.errors import Invalid, NotFound
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from minikube_py.meta.selectors import Selector, from_label_selector

ORPHANS = "controllers/orphans"


def orphan_index(obj: Obj) -> Iterable[str]:
    """Files objects without a controller under their namespace."""
    return () if controller_of(obj) else (namespace_of(obj),)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a selector makes of the candidates: kept, to adopt, to release."""

    kept: Sequence[Obj]
    adopt: Sequence[Obj]
    release: Sequence[Obj]


def plan_claim(owner: Obj, fits: Callable[[Obj], bool], candidates: Iterable[Obj]) -> Claim:
    """Sort `candidates` (of the owner's namespace) by what is to be done with those that fit and the others.
    An owner being deleted adopts nothing; an object being deleted is neither adopted nor released."""
    kept, adopt, release = [], [], []
    for obj in candidates:
        ref, matches = controller_of(obj), fits(obj)
        if ref is not None:
            if ref.get("uid") != uid_of(owner):
                continue
            if matches:
                kept.append(obj)
            elif not is_deleting(obj) and not is_deleting(owner):
                release.append(obj)
        elif matches and not is_deleting(obj) and not is_deleting(owner):
            adopt.append(obj)
    return Claim(kept, adopt, release)


def selector_of(owner: Obj) -> Selector:
    """The spec.selector of `owner`: a label selector, or a plain map as a ReplicationController has."""
    wanted = owner["spec"]["selector"]
    plain = bool(wanted) and all(isinstance(value, str) for value in wanted.values())
    return from_label_selector({"matchLabels": wanted} if plain else wanted)


async def claim(
    client: Client, owner_kind: Kind, owner: Obj, kind: Kind, member: Callable[[Obj], bool] | None = None
) -> list[Obj]:
    """The objects of `kind` that `owner` controls by its spec.selector, after adopting and releasing; only
    those that are a `member`, where that is given."""
    cache, selector = client.cache, selector_of(owner)
    candidates = [*cache.owned(kind, uid_of(owner)), *cache.indexed(kind, ORPHANS, namespace_of(owner))]

    def fits(obj: Obj) -> bool:
        return selector.matches(labels_of(obj)) and (member is None or member(obj))

    plan = plan_claim(owner, fits, candidates)
    mine = list(plan.kept)
    for obj in plan.release:
        await release(client, kind, owner, obj)
    if plan.adopt and await _may_adopt(client, owner_kind, owner):
        for obj in plan.adopt:
            adopted = await _adopt(client, kind, owner, obj)
            if adopted is not None:
                mine.append(adopted)
    return mine


async def _may_adopt(client: Client, kind: Kind, owner: Obj) -> bool:
    try:
        fresh = await client.get(kind, name_of(owner), namespace_of(owner))
    except NotFound:
        return False
    return uid_of(fresh) == uid_of(owner) and not is_deleting(fresh)


async def _adopt(client: Client, kind: Kind, owner: Obj, obj: Obj) -> Obj | None:
    body = {"metadata": {"uid": uid_of(obj), "ownerReferences": [owner_reference(owner)]}}
    try:
        return await client.patch(kind, key_of(obj), body, type=STRATEGIC_PATCH)
    except NotFound:
        return None


async def release(client: Client, kind: Kind, owner: Obj, obj: Obj) -> None:
    """Take the owner's reference from `obj`; it is fine if that has gone already."""
    gone = [{"$patch": "delete", "uid": uid_of(owner)}]
    body = {"metadata": {"uid": uid_of(obj), "ownerReferences": gone}}
    try:
        await client.patch(kind, key_of(obj), body, type=STRATEGIC_PATCH)
    except (NotFound, Invalid):  # gone, or it is another object of that name by now
        return


def adopters(cache: Cache, kind: Kind) -> Callable[[Change], Iterable[Key]]:
    """For `watches`: the objects of `kind` that would adopt a changed object which has no controller."""

    def keys(change: Change) -> list[Key]:
        obj = change.object
        if change.type == "DELETED" or controller_of(obj) or not labels_of(obj) or is_deleting(obj):
            return []
        if change.old is not None and labels_of(change.old) == labels_of(obj) and not controller_of(change.old):
            return []
        return [
            key_of(owner)
            for owner in cache.list(kind, namespace_of(obj))
            if (owner.get("spec") or {}).get("selector") and selector_of(owner).matches(labels_of(obj))
        ]

    return keys
