"""Server-side apply: merge a configuration into the live object and track who owns which field.

`apply` gives the merged object with its new managedFields; `track` (from managed) does the bookkeeping of
ordinary writes. A field that another manager owns and the configuration would change is a conflict, unless
forced; a field that the applier no longer names goes, unless another manager owns it too.
Source: KEP-555, and the behaviour of Kubernetes' structured-merge-diff.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from minikube_py.errors import BadRequest, Cause, Conflict
from minikube_py.meta.conforming import conforms
from minikube_py.meta.decoding import Mistyped, decode
from minikube_py.meta.objects import Obj, annotations_of
from minikube_py.meta.patch.compare import UNTRACKED, object_changes
from minikube_py.meta.patch.faults import faults_text
from minikube_py.meta.patch.fields import Fields, difference, intersection, paths, told, union, without
from minikube_py.meta.patch.managed import (
    APPLY,
    BEFORE_FIRST_APPLY,
    UPDATE,
    Entry,
    Managed,
    Manager,
    Moves,
    ResetFields,
    Views,
    cap,
    decode_managed,
    encode_managed,
    managed_of,
    manager_name,
    move,
    moves,
    owned_by_all,
    take,
    track,
)
from minikube_py.meta.patch.typed import BadConfig, applied_fields, merge, prune
from minikube_py.meta.schema import Type

__all__ = ["APPLY", "UPDATE", "Manager", "ResetFields", "Views", "apply", "manager_name", "track"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
Conflicts = list[tuple[Manager, Fields]]


class Untyped(BadRequest):
    """An applied configuration that its schema refuses. As in Kubernetes no reason goes with the text, so that
    clients show the text alone; the code is that of the client's fault, where Kubernetes has 500."""

    reason = ""


def apply(
    type: Type,
    live: Obj | None,
    config: Any,
    manager: Manager,
    now: str,
    *,
    force: bool = False,
    reset: ResetFields = (),
    views: Views | None = None,
) -> Obj:
    """The live object (None: it does not exist) with `config` applied, its managedFields included.

    Neither argument is changed; the result shares parts with both. Where nothing changes, it equals `live`.
    `now` is RFC 3339; `views` tells how the object looks in other versions (None: alike). Errors: BadRequest
    (no configuration), Untyped (one that its schema refuses), Conflict (a cause for each field that another
    manager owns).
    """
    try:
        return _apply(type, live, config, manager, now, (force, reset, views))
    except BadConfig as error:
        why = faults_text(type, config) or str(error)
        raise Untyped(f"failed to create typed patch object ({_named(config)}): {why}") from None
    except RecursionError:
        raise BadRequest("error decoding patch: exceeded max depth") from None


def _apply(
    type: Type,
    live: Obj | None,
    config: Obj,
    manager: Manager,
    now: str,
    how: tuple[bool, ResetFields, Views | None],
) -> Obj:
    force, reset, views = how
    sent, config = config, _checked(type, config)
    managed = _live_owners(type, live)
    named = applied_fields(type, sent)
    claimed = _tracked(named, reset)
    last = managed.get(manager.identity)
    joined = {**managed, manager.identity: Entry(manager, claimed, last.time if last else "")}
    merged = merge(type, live or {}, config)
    if last is not None:
        merged = prune(type, merged, last.fields, union(owned_by_all(joined.values()), named))
    seen = moves(type, live, merged, reset, views)
    changed, removed = seen(manager.api_version) or (None, None)
    others = {identity: entry for identity, entry in joined.items() if identity != manager.identity}
    conflicts = _conflicts(others.values(), seen)
    if conflicts and not force:
        conflicts = _not_upgraded(type, live, manager, conflicts)
        if conflicts:
            raise conflict_error(conflicts)
    result = move(others, seen)
    noop = live is not None and changed is None and removed is None and last is not None
    if claimed:
        same = noop and last is not None and last.fields == claimed
        take(result, manager, claimed, last.time if same and last is not None else now)
    cap(result)
    if manager.name == "kubectl" and LAST_APPLIED in annotations_of(live or {}):
        merged = _with_last_applied(merged, config)
    return _with_managed(merged, encode_managed(result))


def _checked(type: Type, config: Any) -> Obj:
    """`config` with canonical values. Errors: BadRequest, BadConfig."""
    if not isinstance(config, dict):
        raise BadRequest("error decoding YAML: an applied configuration must be an object")
    if isinstance((config.get("metadata") or {}).get("managedFields"), list):
        raise BadRequest("metadata.managedFields must be nil")
    try:
        decoded, unknown = decode(type, config)
    except Mistyped as error:
        raise BadConfig(f".{error.path}: {error.text.removeprefix('json: ')}") from None
    except ValueError as error:
        raise BadConfig(str(error)) from None
    if unknown or (type.custom and not conforms(type)(config) and faults_text(type, config)):
        raise BadConfig("a field is not declared in the schema, or of another type")
    return decoded


def _named(config: Obj) -> str:
    meta = config.get("metadata") or {}
    names = (meta.get(field) for field in ("namespace", "name"))
    identity = "/".join(name if isinstance(name, str) else "" for name in names)
    return f"{identity}; {kind_text(config)}"


def kind_text(obj: Obj) -> str:
    """An object's group, version and kind as Kubernetes' messages tell them: `/v1, Kind=Pod`."""
    group, _, version = str(obj.get("apiVersion") or "").rpartition("/")
    return f"{group}/{version}, Kind={obj.get('kind') or ''}"


def _live_owners(type: Type, live: Obj | None) -> Managed:
    """The owners of the live object; one that nobody owns belongs to `before-first-apply`."""
    managed = decode_managed(managed_of(live))
    if live is None or managed:
        return managed
    fields, _ = object_changes(type, None, live)
    if fields:
        take(managed, Manager(BEFORE_FIRST_APPLY, UPDATE, live.get("apiVersion", "")), fields, "")
    return managed


def _tracked(fields: Fields, reset: ResetFields) -> Fields:
    """`fields` without those that nobody can own."""
    kept = {key: node for key, node in fields.items() if key not in ("f:apiVersion", "f:kind")}
    for name in UNTRACKED:
        kept = without(kept, ("metadata", name))
    for path in reset:
        kept = without(kept, tuple(path.split(".")))
    if kept.get("f:metadata") == {}:
        del kept["f:metadata"]
    return kept


def _conflicts(entries: Iterable[Entry], seen: Moves) -> Conflicts:
    met = []
    for entry in entries:
        moved = seen(entry.manager.api_version)
        if moved is not None and (fields := intersection(entry.fields, moved[0] or {})):
            met.append((entry.manager, fields))
    return met


def _not_upgraded(type: Type, live: Obj | None, manager: Manager, conflicts: Conflicts) -> Conflicts:
    """The conflicts that remain where kubectl turns from client-side to server-side apply: it may take what
    its last applied configuration set and still stands."""
    if manager.name != "kubectl" or live is None:
        return conflicts
    try:
        last = orjson.loads(annotations_of(live).get(LAST_APPLIED, ""))
        fields = applied_fields(type, last)
    except (ValueError, AttributeError, TypeError):
        return conflicts
    changed, removed = object_changes(type, live, last)
    allowed = difference(difference(fields, changed or {}), removed or {})
    left = ((owner, difference(fields, allowed)) for owner, fields in conflicts)
    return [(owner, fields) for owner, fields in left if fields]


def conflict_error(conflicts: Conflicts) -> Conflict:
    """The Conflict (409) that names each owner and field, in Kubernetes' words."""
    found = [(manager, told(path)) for manager, fields in conflicts for path in paths(fields)]
    causes = [Cause("FieldManagerConflict", f"conflict with {_owner(one)}", path) for one, path in found]
    if len(found) == 1:
        return Conflict(
            f"Apply failed with 1 conflict: conflict with {_owner(found[0][0])}: {found[0][1]}", causes=causes
        )
    lines: list[str] = []
    for owner in sorted({_owner(manager) for manager, _ in found}):
        lines.append(f"conflicts with {owner}:")
        lines += [f"- {path}" for manager, path in found if _owner(manager) == owner]
    text = "\n".join(lines)
    return Conflict(f"Apply failed with {len(found)} conflicts: {text}", causes=causes)


def _owner(manager: Manager) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    return f"{text} using {manager.api_version}" if manager.operation == UPDATE else text


def _with_last_applied(obj: Obj, config: Obj) -> Obj:
    """`obj` with the annotation of client-side apply renewed, so that a client may go back to it."""
    meta = {**config.get("metadata", {})}
    meta["annotations"] = {k: v for k, v in (meta.get("annotations") or {}).items() if k != LAST_APPLIED}
    if not meta["annotations"]:
        del meta["annotations"]
    encoded = orjson.dumps({**config, "metadata": meta}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    annotations = {**annotations_of(obj), LAST_APPLIED: encoded}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def _with_managed(obj: Obj, entries: list[Obj]) -> Obj:
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name != "managedFields"}
    if entries:
        meta["managedFields"] = entries
    return {**obj, "metadata": meta}


def claimed_fields(type: Type, config: Obj) -> Fields:
    """The fields that a configuration claims when it is applied. Errors: BadConfig."""
    return _tracked(applied_fields(type, config), ())


def owners(obj: Obj) -> dict[str, Fields]:
    """The fields that each manager of `obj` owns, by its name, all operations together."""
    found: dict[str, Fields] = {}
    for entry in decode_managed(managed_of(obj)).values():
        found[entry.manager.name] = union(found.get(entry.manager.name, {}), entry.fields)
    return found
