"""Merging and pruning by the schema: the two steps of server-side apply that change the object."""

from typing import Any

from minikube_py.meta import schema as forms
from minikube_py.meta.patch.compare import element_of, granular, index
from minikube_py.meta.patch.fields import LEAF, SELF, Fields, is_member, key_element, told, value_element
from minikube_py.meta.schema import DEDUCED_TYPE, Type


class BadConfig(ValueError):
    """An applied configuration that has no set of fields; the text begins with the path."""


def applied_fields(type: Type, config: Any, path: str = "") -> Fields:
    """The fields that an applied configuration claims. Unlike for an update, a struct or list is no field of
    its own, unless it is empty. Errors: BadConfig (an unknown field, items that cannot be told apart)."""
    if type.form == forms.LIST:
        return _applied_list(type, config, path)
    node: Fields = {}
    for name, value in config.items():
        child = type.field(name)
        if child is None:
            raise BadConfig(f"{path}.{name}: field not declared in schema")
        if value == [] and child.form == forms.LIST and granular(child, value):
            continue
        node[f"f:{name}"] = _claimed(child, value, f"{path}.{name}", named=_is_named(type, name))
    return node


def _claimed(type: Type, value: Any, path: str, *, named: bool) -> Fields:
    if not value or not granular(type, value):
        return LEAF
    below = applied_fields(type, value, path)
    return below if named else {SELF: LEAF, **below}


def _is_named(type: Type, name: str) -> bool:
    """Whether `name` is a field of a struct, and not the key of a map."""
    return type.form == forms.STRUCT and name in type.fields


def _applied_list(type: Type, config: list[Any], path: str) -> Fields:
    node: Fields = {}
    for at, item in enumerate(config):
        element = element_at(type, item, f"{path}: element {at}")
        if element in node:
            raise BadConfig(f"{path}: duplicate entries for key {told((element,))}")
        node[element] = _claimed(type.items, item, f"{path}[{at}]", named=False)
    return node


def element_at(type: Type, item: Any, path: str) -> str:
    """The path element of an item of a set or map list. Errors: BadConfig, its text beginning with `path`."""
    if type.list_type == "set":
        return value_element(item)
    if item.__class__ is not dict:
        raise BadConfig(f"{path}: associative list with keys may not have non-map elements")
    keys = {}
    for key in type.list_keys:
        value = item.get(key, type.key_defaults.get(key))
        if value is None:
            told = f'has an element that omits key field "{key}" (and doesn\'t have default value)'
            raise BadConfig(f"{path}: associative list with keys {told}")
        keys[key] = value
    return key_element(keys)


def merge(type: Type, live: Any, config: Any) -> Any:
    """`live` with `config` merged in: granular objects and lists by member, the rest replaced. Neither is
    changed; the result shares parts of both."""
    if not granular(type, config) or not granular(type, live):
        return config
    if type.form == forms.LIST:
        return _merge_lists(type, live, config)
    result = dict(live)
    for name, value in config.items():
        if name in live:
            result[name] = merge(type.field(name) or DEDUCED_TYPE, live[name], value)
        else:
            result[name] = value
    return result


def _merge_lists(type: Type, live: list[Any], config: list[Any]) -> list[Any]:
    """The items of both: those of the config in its order, what only `live` has between its neighbours."""
    mine, theirs = index(type, config), index(type, live)
    if mine is None or theirs is None:
        return config
    left, right = list(theirs), list(mine)
    result: list[Any] = []
    taken: set[str] = set()
    at = 0
    for path in [*right, ""]:
        while at < len(left) and (left[at] not in mine or left[at] in taken):
            if left[at] not in mine:
                result.append(theirs[left[at]])
            at += 1
        if path:
            result.append(merge(type.items, theirs[path], mine[path]) if path in theirs else mine[path])
            taken.add(path)
    return result


def prune(type: Type, value: Any, last: Fields, kept: Fields) -> Any:
    """`value` without the fields that its applier claimed the last time (`last`) and nobody claims now
    (`kept`: what all managers own, the new configuration included)."""
    if not last or not granular(type, value):
        return value
    if type.form == forms.LIST:
        element = element_of(type)
        return _pruned_items(type, [(element(item), item) for item in value], last, kept)
    result: dict[str, Any] | None = None
    for key, claimed in last.items():
        name = key[2:]
        if key == SELF or name not in value:
            continue
        named = _is_named(type, name)
        held = kept.get(key)
        if (named or is_member(claimed)) and not _holds(held, named):
            result = dict(value) if result is None else result
            del result[name]
        elif claimed:
            pruned = prune(type.field(name) or DEDUCED_TYPE, value[name], claimed, held or LEAF)
            if pruned is not value[name]:
                result = dict(value) if result is None else result
                result[name] = pruned
    return value if result is None else result


def _holds(held: Fields | None, named: bool) -> bool:
    """Whether a field is claimed: a struct's one also by what is claimed below it."""
    return held is not None and (named or is_member(held))


def _pruned_items(type: Type, items: list[tuple[str | None, Any]], last: Fields, kept: Fields) -> list[Any]:
    result = []
    for path, item in items:
        claimed = last.get(path) if path else None
        if path is None or claimed is None:
            result.append(item)
            continue
        held = kept.get(path)
        if is_member(claimed) and not _holds(held, named=False):
            continue
        result.append(prune(type.items, item, claimed, held or LEAF))
    return result
