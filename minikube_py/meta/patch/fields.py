"""Sets of an object's fields, in the very shape of FieldsV1, so that nothing is encoded or decoded.

A set is a tree of dicts. Keys are path elements: `f:<name>` a field or map key, `k:{"name":"x"}` an item of a
list by its keys, `v:<value>` an item of a set. An empty dict is a member; an inner node is one too where it
has the key `.`. Sets are never changed in place and share their parts; operations that change nothing give
the set itself back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

Fields = dict[str, Any]

LEAF: Fields = {}
"""A member without children; shared, never changed."""
SELF = "."


def is_member(node: Fields) -> bool:
    """Whether the path that leads to `node` is itself in the set."""
    return not node or SELF in node


def union(left: Fields, right: Fields) -> Fields:
    """The fields of either."""
    if not right or left is right:
        return left
    if not left:
        return right
    result: Fields | None = None
    for key, theirs in right.items():
        mine = left.get(key)
        joined = theirs if mine is None else _union_node(mine, theirs)
        if joined is not mine:
            if result is None:
                result = dict(left)
            result[key] = joined
    return left if result is None else result


def _union_node(left: Fields, right: Fields) -> Fields:
    if not left or not right:
        both = left or right or left
        return both if is_member(both) else {SELF: LEAF, **both}
    return union(left, right)


def difference(left: Fields, right: Fields) -> Fields:
    """The fields of `left` that are not in `right`."""
    if not left or not right:
        return left
    result: Fields | None = None
    for key, theirs in right.items():
        mine = left.get(key)
        if mine is None:
            continue
        kept = _difference_node(mine, theirs)
        if kept is mine:
            continue
        if result is None:
            result = dict(left)
        if kept is None:
            del result[key]
        else:
            result[key] = kept
    return left if result is None else result


def _difference_node(left: Fields, right: Fields) -> Fields | None:
    if not left:
        return None if is_member(right) else left
    if not right:
        kept = {key: child for key, child in left.items() if key != SELF} if SELF in left else left
        return kept or None
    kept = difference(left, right)  # the key "." is a member like any other
    if kept is left:
        return left
    if not kept:
        return None
    return LEAF if kept.keys() == {SELF} else kept


def intersection(left: Fields, right: Fields) -> Fields:
    """The fields that are in both."""
    result: Fields = {}
    for key, mine in left.items():
        theirs = right.get(key)
        if theirs is None:
            continue
        both = _intersection_node(mine, theirs)
        if both is not None:
            result[key] = both
    return result


def _intersection_node(left: Fields, right: Fields) -> Fields | None:
    if not left:
        return LEAF if is_member(right) else None
    if not right:
        return LEAF if SELF in left else None
    both = intersection(left, right)
    return (LEAF if both.keys() == {SELF} else both) if both else None


def without(fields: Fields, path: tuple[str, ...]) -> Fields:
    """`fields` without the field at `path` (names) and all below it."""
    key = f"f:{path[0]}"
    child = fields.get(key)
    if child is None:
        return fields
    result = {name: node for name, node in fields.items() if name != key}
    if len(path) > 1:
        kept = without(child, path[1:])
        if kept is child:
            return fields
        if kept:
            result[key] = kept
    return result


def singleton(path: Iterable[str]) -> Fields:
    """The set of one path, given by its path elements."""
    node = LEAF
    for element in reversed(tuple(path)):
        node = {element: node}
    return node


def paths(fields: Fields, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The members as tuples of path elements, sorted."""
    for key in sorted(fields):
        if key == SELF:
            continue
        node, path = fields[key], (*above, key)
        if is_member(node):
            yield path
        yield from paths(node, path)


def told(path: Iterable[str]) -> str:
    """A path as Kubernetes' messages tell it: `.spec.containers[name="web"].image`."""
    return "".join(map(_told_element, path))


def _told_element(element: str) -> str:
    kind, _, body = element.partition(":")
    if kind == "k":
        keys = orjson.loads(body)
        return f"[{','.join(f'{name}={_shown(value)}' for name, value in sorted(keys.items()))}]"
    if kind == "v":
        return f"[={_shown(orjson.loads(body))}]"
    return f".{body}" if kind == "f" else f"[{body}]"


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()


def key_element(keys: Mapping[str, Any]) -> str:
    """The path element of a list's item with these keys."""
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def value_element(value: Any) -> str:
    """The path element of a value in a list that is a set."""
    return "v:" + orjson.dumps(value).decode()
