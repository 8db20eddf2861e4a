"""managedFields: who owns which field, and how writes move ownership.

An entry belongs to a manager (its name, operation and subresource; for Update also the apiVersion). A write
takes the fields that it changes from all others; a removed field is owned by nobody. An entry's time moves
only when it takes a field. At most ten Update entries are kept; the oldest fall together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minikube_py.meta.objects import Obj
from minikube_py.meta.patch.compare import object_changes
from minikube_py.meta.patch.fields import Fields, difference, union, without
from minikube_py.meta.schema import Type

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
MAX_MANAGER_NAME = 128

ResetFields = Sequence[str]
"""Dotted paths that a write cannot set, and so cannot own: `status` for the object, `spec` for its status."""


class Manager(NamedTuple):
    """Who writes, and how. operation is Apply or Update."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells entries apart: appliers keep one entry through versions."""
        version = self.api_version if self.operation == UPDATE else ""
        return (self.name, self.operation, version, self.subresource)


@dataclass(slots=True)
class Entry:
    """A manager's fields, and when it last took some (RFC 3339). It does not change."""

    manager: Manager
    fields: Fields
    time: str = ""
    source: Obj | None = field(default=None, compare=False, repr=False)
    """What it was decoded from, shared and read-only."""

    def to_json(self) -> Obj:
        """The entry as it stands in metadata.managedFields."""
        if self.source is not None:
            return self.source
        name, operation, api_version, subresource = self.manager
        rendered = {
            "manager": name,
            "operation": operation,
            "apiVersion": api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        }
        if subresource:
            rendered["subresource"] = subresource
        if not self.time:
            del rendered["time"]
        return rendered

    def owning(self, fields: Fields) -> "Entry":
        return self if fields is self.fields else Entry(self.manager, fields, self.time)


View = tuple[Type, Callable[[Obj], Obj]]
"""How an object looks in another version of its resource: that version's type, and the conversion."""
Views = Callable[[str], View | None]
"""The view of each apiVersion that an entry may name; None for one that is no more, whose entries go."""
Moves = Callable[[str], tuple[Fields | None, Fields | None] | None]
"""What was changed and what was removed, as a version sees it."""

Managed = dict[tuple[str, str, str, str], Entry]
"""Entries by the identity of their managers."""


def manager_name(field_manager: str, user_agent: str) -> str:
    """The manager's name of a request: its fieldManager, else the first part of its User-Agent."""
    if field_manager:
        return field_manager
    prefix = user_agent.partition("/")[0]
    if not prefix.isprintable():
        prefix = "".join(filter(str.isprintable, prefix))
    return prefix[:MAX_MANAGER_NAME] or "unknown"


def decode_managed(entries: Any, *, stored: bool = True) -> Managed:
    """The entries of metadata.managedFields; what is malformed counts as none. Two of one manager join.
    Not `stored`: a client wrote them, in whatever form."""
    found: Managed = {}
    for one in entries or ():
        if not isinstance(one, dict) or one.get("operation") not in (APPLY, UPDATE):
            return {}
        fields = one.get("fieldsV1")
        if not isinstance(fields, dict) or not isinstance(one.get("manager", ""), str):
            return {}
        version, part = one.get("apiVersion", ""), one.get("subresource", "")
        manager = Manager(one.get("manager", ""), one["operation"], version, part)
        identity, moment = manager.identity, one.get("time") or ""
        known = found.get(identity)
        if known is None:
            found[identity] = Entry(manager, fields, moment, one if stored else None)
        else:
            found[identity] = Entry(manager, union(known.fields, fields), max(known.time, moment))
    return found


def encode_managed(managed: Managed) -> list[Obj]:
    """metadata.managedFields, in Kubernetes' order: operation, time, name, version, subresource."""

    def order(entry: Entry) -> tuple[str, ...]:
        manager = entry.manager
        return (manager.operation, entry.time, manager.name, manager.api_version, manager.subresource)

    entries = managed.values()
    return [entry.to_json() for entry in (sorted(entries, key=order) if len(managed) > 1 else entries)]


def managed_of(obj: Mapping[str, Any] | None) -> Any:
    """metadata.managedFields as it stands."""
    return ((obj or {}).get("metadata") or {}).get("managedFields")


def is_reset(entries: Any) -> bool:
    """Whether a client asks to forget all owners: a list of one empty entry."""
    return isinstance(entries, list) and len(entries) == 1 and entries[0] == {}


def track(
    type: Type,
    old: Obj | None,
    new: Obj,
    manager: Manager,
    now: str,
    reset: ResetFields = (),
    views: Views | None = None,
) -> list[Obj]:
    """metadata.managedFields after `manager` wrote `new` over `old` (None: created) at `now` (RFC 3339).

    Pure: the caller sets the result on its object, or drops the field where it is empty. A request may carry
    managedFields of its own; an empty or malformed list means those of `old`. An object that nobody owns
    (its owners were reset) stays so until it is applied. Where nothing changed, the result equals the old.
    `views` tells how both objects look in other versions than that of `type` (None: alike).
    """
    asked, before = managed_of(new), managed_of(old)
    if old is None and asked is None and views is None:
        fields, _ = changed_fields(type, None, new, reset)
        return [] if fields is None else [Entry(manager, fields, now).to_json()]
    if is_reset(asked):
        return []
    entries = before if manager.subresource or asked is None or asked is before else asked
    managed = decode_managed(entries, stored=entries is before)
    if not managed and entries is not before:
        entries, managed = before, decode_managed(before)
    if old is not None and not managed:
        return []
    seen = moves(type, old, new, reset, views)
    changed, removed = seen(manager.api_version) or (None, None)
    if changed is None and removed is None:
        return entries or []
    taken = move(managed, seen, keeps=manager if changed is not None else None)
    if changed is not None:
        take(taken, manager, changed, now)
        cap(taken)
    elif taken.keys() == managed.keys() and all(taken[one] is managed[one] for one in taken):
        return entries or []
    made = encode_managed(taken)
    return entries if made == entries else made


def changed_fields(
    type: Type, old: Obj | None, new: Obj, reset: ResetFields
) -> tuple[Fields | None, Fields | None]:
    """The fields added or modified and the fields removed, without those that the write cannot set."""
    changed, removed = object_changes(type, old, new, frozenset([path for path in reset if "." not in path]))
    for path in reset:
        if "." not in path:
            continue
        steps = tuple(path.split("."))
        changed = (without(changed, steps) or None) if changed else changed
        removed = (without(removed, steps) or None) if removed else removed
    return changed, removed


def moves(type: Type, old: Obj | None, new: Obj, reset: ResetFields = (), views: Views | None = None) -> Moves:
    """The changes from `old` to `new`, computed once for each version that is asked about."""
    found: dict[str, tuple[Fields | None, Fields | None] | None] = {}

    def seen(api_version: str) -> tuple[Fields | None, Fields | None] | None:
        key = api_version if views is not None else ""
        if key not in found:
            found[key] = _moves_in(type, old, new, reset, views and (views, api_version))
        return found[key]

    return seen


def _moves_in(
    type: Type, old: Obj | None, new: Obj, reset: ResetFields, at: tuple[Views, str] | None
) -> tuple[Fields | None, Fields | None] | None:
    if at is None:
        return changed_fields(type, old, new, reset)
    view = at[0](at[1])
    if view is None:
        return None
    there, change = view
    return changed_fields(there, None if old is None else change(old), change(new), reset)


def move(managed: Managed, seen: Moves, keeps: Manager | None = None) -> Managed:
    """The entries without the fields that were changed or removed; empty ones go. `keeps` is about to take what
    was changed, and so does not lose it."""
    result: Managed = {}
    own = None if keeps is None else keeps.identity
    for identity, entry in managed.items():
        moved = seen(entry.manager.api_version)
        if moved is None:
            continue
        changed, removed = moved
        fields = entry.fields if changed is None or identity == own else difference(entry.fields, changed)
        if removed is not None:
            fields = difference(fields, removed)
        if fields:
            result[identity] = entry.owning(fields)
    return result


def take(managed: Managed, manager: Manager, fields: Fields, now: str) -> None:
    """Give `fields` to `manager`, in place."""
    known = managed.get(manager.identity)
    owned = union(known.fields, fields) if known else fields
    if known is None or known.fields is not owned or known.time != now or known.manager != manager:
        managed[manager.identity] = Entry(manager, owned, now)


def cap(managed: Managed) -> None:
    """Join the oldest Update entries, in place, where there are more than ten; one for each version."""
    updaters = [entry for entry in managed.values() if entry.manager.operation == UPDATE]
    if len(updaters) <= MAX_UPDATERS:
        return
    updaters.sort(key=lambda entry: (entry.time, entry.manager))
    for entry in updaters:
        count = sum(one.manager.operation == UPDATE for one in managed.values())
        if count <= MAX_UPDATERS:
            return
        if entry.manager.name == ANCIENT:
            continue
        del managed[entry.manager.identity]
        take(managed, Manager(ANCIENT, UPDATE, entry.manager.api_version), entry.fields, entry.time)


def owned_by_all(managed: Iterable[Entry]) -> Fields:
    """The fields that any manager owns."""
    fields: Fields = {}
    for entry in managed:
        fields = union(fields, entry.fields)
    return fields
