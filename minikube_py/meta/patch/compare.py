"""Which fields a value has, and in which two values differ, as sets of fields, by the schema.

Walkers are compiled from a type at the first use and kept with it. A container (object, list) that appears
is itself a field of the set besides its members, as in Kubernetes' managedFields.
"""

from collections.abc import Callable
from typing import Any

from minikube_py.meta import schema as forms
from minikube_py.meta.objects import Obj
from minikube_py.meta.patch.fields import LEAF, SELF, Fields, key_element, value_element
from minikube_py.meta.schema import DEDUCED_TYPE, Type

Added = Callable[[Any], Fields]
"""The fields of a value that was not there before."""
Changes = tuple[Fields | None, Fields | None]
"""(fields added or modified, fields removed); None where there are none."""
Compare = Callable[..., Changes]
"""Of an old and a new value; of objects also without the fields that a set as the third argument names."""
_NOTHING: frozenset[str] = frozenset()
_MISSING: Any = object()


def granular(type: Type, value: Any) -> bool:
    """Whether the members of `value` are owned one by one."""
    if type.atomic:
        return False
    if type.form == forms.LIST:
        return value.__class__ is list
    return value.__class__ is dict


def element_of(type: Type) -> Callable[[Any], str | None]:
    """A function that gives the path element of an item of a granular list; None where it has no identity."""
    return type.compiled("element", _compile_element)


def _compile_element(type: Type) -> Callable[[Any], str | None]:
    keys, defaults = type.list_keys, type.key_defaults
    if type.list_type == "set":
        return value_element

    def element(item: Any) -> str | None:
        if item.__class__ is not dict:
            return None
        found = {}
        for key in keys:
            value = item.get(key, defaults.get(key))
            if value is not None:
                found[key] = value
        # An item may lack some keys, but not all of them.
        return key_element(found) if found else None

    return element


def index(type: Type, items: list[Any]) -> dict[str, Any] | None:
    """The items of a granular list by their path elements; None where two are alike or one has no identity."""
    element = element_of(type)
    found: dict[str, Any] = {}
    for item in items:
        path = element(item)
        if path is None or path in found:
            return None
        found[path] = item
    return found


def added(type: Type) -> Added:
    """The walker for a value that is new."""
    return type.compiled("added", _compile_added)


def _compile_added(type: Type) -> Added:
    if type.atomic:
        return lambda value: LEAF
    if type.form == forms.LIST:
        return _added_list(type)
    table: dict[str, tuple[str, Added | None]] = {}

    def walk(value: Any) -> Fields:
        if not value or value.__class__ is not dict:
            return LEAF
        node = {SELF: LEAF}
        for name, item in value.items():
            known = table.get(name)
            if known is None:
                known = _entry(type, table, name)
            node[known[0]] = LEAF if known[1] is None else known[1](item)
        return node

    return walk


def _entry(type: Type, table: dict[str, tuple[str, Added | None]], name: str) -> tuple[str, Added | None]:
    """How the field `name` is walked; remembered in `table` where names are few."""
    child = type.field(name)
    made = (f"f:{name}", None if child is None or child.atomic else added(child))
    if type.form == forms.STRUCT and name in type.fields:
        table[name] = made
    return made


def _added_list(type: Type) -> Added:
    def walk(value: Any) -> Fields:
        if not value or value.__class__ is not list:
            return LEAF
        items = index(type, value)
        if items is None:
            return LEAF
        inner = added(type.items)
        return {SELF: LEAF, **{path: inner(item) for path, item in items.items()}}

    return walk


def compare(type: Type) -> Compare:
    """The walker for two values that are not equal."""
    return type.compiled("compare", _compile_compare)


def _compile_compare(type: Type) -> Compare:
    if type.atomic:
        return lambda old, new, skip=_NOTHING: (LEAF, None)
    if type.form == forms.LIST:
        return _compare_lists(type)
    walk_added = added(type)
    children: dict[str, Compare] = {}

    def walk(old: Any, new: Any, skip: frozenset[str] = _NOTHING) -> Changes:
        if old.__class__ is not dict or new.__class__ is not dict:
            return walk_added(new), walk_added(old)
        changed: Fields = {}
        removed: Fields = {}
        for name, item in new.items():
            if name in skip:
                continue
            before = old.get(name, _MISSING)
            if before is item:
                continue
            if before is not _MISSING:
                if before == item:
                    continue
                child = children.get(name)
                if child is None:
                    child = _child_compare(type, children, name)
                more, less = child(before, item)
                if more is not None:
                    changed[f"f:{name}"] = more
                if less is not None:
                    removed[f"f:{name}"] = less
            else:
                changed[f"f:{name}"] = _fields_below(type, name, item)
        if not old.keys() <= new.keys():
            for name, item in old.items():
                if name not in new and name not in skip:
                    removed[f"f:{name}"] = _fields_below(type, name, item)
        return changed or None, removed or None

    return walk


def _child_compare(type: Type, children: dict[str, Compare], name: str) -> Compare:
    child = type.field(name)
    made = compare(child) if child is not None else _leaf_compare
    if type.form == forms.STRUCT and name in type.fields:
        children[name] = made
    return made


def _leaf_compare(old: Any, new: Any) -> Changes:
    return LEAF, None


def _fields_below(type: Type, name: str, value: Any) -> Fields:
    child = type.field(name)
    return LEAF if child is None or child.atomic else added(child)(value)


def _compare_lists(type: Type) -> Compare:
    def walk(old: Any, new: Any) -> Changes:
        before = index(type, old) if old.__class__ is list else None
        after = index(type, new) if new.__class__ is list else None
        if before is None or after is None:
            return LEAF, None
        inner, inner_added = compare(type.items), added(type.items)
        changed: Fields = {}
        removed = {path: inner_added(item) for path, item in before.items() if path not in after}
        for path, item in after.items():
            if path not in before:
                changed[path] = inner_added(item)
            elif before[path] != item:
                more, less = inner(before[path], item)
                if more is not None:
                    changed[path] = more
                if less is not None:
                    removed[path] = less
        return changed or None, removed or None

    return walk


UNTRACKED = frozenset(
    (
        "clusterName",
        "creationTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    )
)
"""Fields of metadata that nobody owns."""
_SEPARATE = frozenset(("apiVersion", "kind", "metadata"))


def object_changes(type: Type, old: Obj | None, new: Obj, skip: frozenset[str] = frozenset()) -> Changes:
    """In which fields `new` differs from `old` (None: a new object), without apiVersion, kind, the parts of
    metadata that nobody owns, and the top-level fields in `skip`."""
    before = blank(type) if old is None else old
    changed, removed = compare(type)(before, new, _SEPARATE | skip)
    if "metadata" in skip:
        return changed, removed
    of_metadata = type.compiled("metadata", _compile_metadata)
    more, less = of_metadata(before.get("metadata") or {}, new.get("metadata") or {}, UNTRACKED)
    if more is not None:
        changed = {"f:metadata": more, **(changed or {})}
    if less is not None:
        removed = {"f:metadata": less, **(removed or {})}
    return changed, removed


def _compile_metadata(type: Type) -> Compare:
    return compare(type.field("metadata") or DEDUCED_TYPE)


_ALWAYS_THERE = frozenset(
    ("metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "loadBalancer")
)


def blank(type: Type) -> Obj:
    """What an empty object of the type already has in Kubernetes: its structs that are no pointers, and its
    required lists. They are not counted as added on creation. (Which struct is a pointer is no fact of the
    schema; the usual names stand for it.) An empty custom resource has its metadata alone."""
    return type.compiled("blank", _make_blank)


def _make_blank(type: Type) -> Obj:
    if type.custom:
        return {"metadata": {}}
    made: Obj = {}
    for name, child in type.fields.items():
        if child.form == forms.STRUCT and not child.atomic and name in _ALWAYS_THERE:
            made[name] = blank(child)
        elif child.form == forms.LIST and name in type.required:
            made[name] = []
    return made
