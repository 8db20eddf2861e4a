"""managedFields: who set which field, kept with every write (server-side apply, KEP-555)."""

from typing import NamedTuple

import orjson

from minikube_py.meta.objects import Obj
from minikube_py.meta.patch import apply as ssa
from minikube_py.meta.schema import type_of
from minikube_py.registry.pipeline import Write


class Applying(NamedTuple):
    """How a server-side apply goes: whether it takes what others own, and how other versions look."""

    force: bool
    views: ssa.Views


def unowned(write: Write) -> tuple[str, ...]:
    """The parts of the object that the write cannot set, and so does not own."""
    if write.subresource == "status":
        return ("spec",)
    return ("status",) if write.kind.has_status else ()


def manager_of(write: Write, operation: str) -> ssa.Manager:
    """Who writes: the request's field manager, else its user agent's name."""
    name = ssa.manager_name(write.context.field_manager, write.context.user_agent)
    return ssa.Manager(name, operation, write.version.api_version, write.subresource)


def track(write: Write, old: Obj | None, new: Obj, now: str, views: ssa.Views | None) -> None:
    """Note in `new`, in place, the fields that an ordinary write sets at `now` (RFC 3339). `views` tells how
    the object looks in other versions (None: alike)."""
    manager = manager_of(write, ssa.UPDATE)
    entries = ssa.track(type_of(write.kind), old, new, manager, now, unowned(write), views)
    if entries:
        new["metadata"]["managedFields"] = entries
    else:
        new["metadata"].pop("managedFields", None)


def applied(write: Write, live: Obj | None, config: Obj, now: str, how: Applying) -> Obj:
    """The object that a server-side apply makes of `live`, both in the request's version; it shares parts with
    both. Errors: BadRequest, Conflict."""
    type, manager = type_of(write.version), manager_of(write, ssa.APPLY)
    return ssa.apply(type, live, config, manager, now, force=how.force, reset=unowned(write), views=how.views)


def is_same(new: Obj, old: Obj) -> bool:
    """Whether nothing changed: when a manager last wrote does not count where it wrote what stood there (an
    apply of an atomic value whose defaults are filled in again, say)."""
    left, right = _ownerless(new), _ownerless(old)
    if left["metadata"] != right["metadata"] or left != right:
        return False
    ours, theirs = (obj["metadata"].get("managedFields") or [] for obj in (new, old))
    if ours != theirs and [_timeless(entry) for entry in ours] != [_timeless(entry) for entry in theirs]:
        return False
    return _text(left) == _text(right)  # to Python, true equals 1


def _ownerless(obj: Obj) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "managedFields": None}}


def _text(obj: Obj) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _timeless(entry: Obj) -> Obj:
    return {key: value for key, value in entry.items() if key != "time"}
