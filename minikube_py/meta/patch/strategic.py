"""Strategic merge patch: a merge patch that knows lists by their merge keys, and directives.

Directives: `$patch: replace|delete`, `$retainKeys`, `$setElementOrder/<list>` and
`$deleteFromPrimitiveList/<list>`.
Merge keys and strategies come from the kind's type; what it does not know merges as in a merge patch, lists
being replaced. Source: the API conventions' text on strategic merge patch (sig-api-machinery).
"""

from typing import Any

from minikube_py.errors import BadRequest, Unclassified
from minikube_py.meta.goformat import go_text
from minikube_py.meta.objects import Obj
from minikube_py.meta.patch.merge import identical
from minikube_py.meta.schema import DEDUCED_TYPE, Type

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
ELEMENT_ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"
_BAD_ORDER = "invalid patch format of setElementOrder list"
_BAD_RETAIN = "invalid patch format of retainKeys"


def apply_strategic_patch(target: Obj, patch: Any, type: Type) -> Obj:
    """`target` with `patch` merged in by the strategies of `type`; neither is changed, results share parts.

    Errors: BadRequest (a malformed directive), Unclassified (an item without its merge key, an unknown
    directive, lists of different things or orders).
    """
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a strategic merge patch must be an object")
    try:
        return _merge_map(target, patch, type)
    except RecursionError:
        raise BadRequest("error decoding patch: exceeded max depth") from None


def _merge_map(original: Obj, patch: Obj, type: Type) -> Obj:
    if DIRECTIVE in patch:
        return _directed(patch)
    result = dict(original)
    _retain(result, patch)
    done = _order_lists(result, patch, type)
    for key, value in patch.items():
        if key in done or key == RETAIN_KEYS or key.startswith(ELEMENT_ORDER):
            continue
        if key.startswith(DELETE_FROM):
            _delete_from(result, key.removeprefix(DELETE_FROM), value)
        elif value is None:
            result.pop(key, None)
        else:
            child = type.field(key) or DEDUCED_TYPE
            result[key] = _merge_value(result.get(key), value, child)
    return result


def _directed(patch: Obj) -> Obj:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    raise Unclassified(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")


def _merge_value(original: Any, value: Any, type: Type) -> Any:
    if isinstance(value, dict) and isinstance(original, dict):
        return _plain(value) if "replace" in type.strategies else _merge_map(original, value, type)
    if isinstance(value, list) and isinstance(original, list) and "merge" in type.strategies:
        return _merge_list(original, value, type)
    return _plain(value)


def _plain(value: Any) -> Any:
    """What is new in the target: without nulls in objects, and without directives."""
    if isinstance(value, dict):
        if value.get(DIRECTIVE) == "delete":
            return {}
        return {key: _plain(one) for key, one in value.items() if one is not None and not _is_directive(key)}
    if isinstance(value, list):
        kept = [
            one for one in value if not (isinstance(one, dict) and one.get(DIRECTIVE) in ("delete", "merge"))
        ]
        return [_plain(one) for one in kept if not (isinstance(one, dict) and one.keys() == {DIRECTIVE})]
    return value


def _is_directive(key: str) -> bool:
    return key in (DIRECTIVE, RETAIN_KEYS) or key.startswith((ELEMENT_ORDER, DELETE_FROM))


def _retain(result: Obj, patch: Obj) -> None:
    """Drop from `result`, in place, what `$retainKeys` does not name."""
    if RETAIN_KEYS not in patch:
        return
    kept = patch[RETAIN_KEYS]
    if not isinstance(kept, list):
        raise BadRequest(_BAD_RETAIN)
    for key, value in patch.items():
        if value is not None and not _is_directive(key) and key not in kept:
            raise BadRequest(_BAD_RETAIN)
    for key in [key for key in result if key not in kept]:
        del result[key]


def _delete_from(result: Obj, key: str, values: Any) -> None:
    """Drop `values` from the list of scalars at `key`, in place."""
    if not isinstance(values, list):
        raise BadRequest("invalid patch format of primitive list")
    present = result.get(key)
    if isinstance(present, list):
        result[key] = [one for one in present if one not in values]


def _merge_list(original: list[Any], patch: list[Any], type: Type) -> list[Any]:
    """Merge two lists; what the patch names keeps the patch's order, the rest that of the original."""
    if not original and not patch:
        return original
    maps = [one for one in (*original, *patch) if isinstance(one, dict)]
    if not maps:
        merged: list[Any] = []
        for one in (*original, *patch):
            if one not in merged:
                merged.append(one)
        return _ordered(merged, patch, original, "")
    if len(maps) != len(original) + len(patch):
        raise Unclassified("list element types are not identical")
    key = type.merge_key
    if not key:
        raise BadRequest(f"cannot merge lists without merge key for {type.go}")
    return _merge_maps(original, patch, key, type)


def _merge_maps(original: list[Obj], patch: list[Obj], key: str, type: Type) -> list[Obj]:
    merged, plain, replace = list(original), [], False
    for item in patch:
        directive = item.get(DIRECTIVE)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone = _key_of(item, key)
            merged = [one for one in merged if not _same(one.get(key), gone)]
        elif directive == "replace":
            replace = True
            if item.keys() != {DIRECTIVE}:
                plain.append({name: value for name, value in item.items() if name != DIRECTIVE})
        elif directive == "merge":
            raise Unclassified("merging list cannot yet be specified in the patch")
        else:
            raise Unclassified(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    if replace:
        return [_plain(one) for one in plain]
    places: dict[Any, int] = {}
    for place, one in enumerate(merged):
        places.setdefault(_hashable(one.get(key)), place)
    for item in plain:
        wanted = _hashable(_key_of(item, key))
        place = places.get(wanted, -1)
        if place >= 0:
            merged[place] = _merge_map(merged[place], item, type.items)
        else:
            places[wanted] = len(merged)
            merged.append(_plain(item))
    return _ordered(merged, plain, original, key)


def _key_of(item: Obj, key: str) -> Any:
    if key not in item:
        raise Unclassified(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def _hashable(value: Any) -> Any:
    return (value.__class__, value) if isinstance(value, str | int | float | bool) else str(value)


def _same(left: Any, right: Any) -> bool:
    return identical(left, right)


def _order_lists(result: Obj, patch: Obj, type: Type) -> set[str]:
    """Merge and order, in place, the lists that have a `$setElementOrder`; their names."""
    done: set[str] = set()
    for directive, order in patch.items():
        if not directive.startswith(ELEMENT_ORDER):
            continue
        name = directive.removeprefix(ELEMENT_ORDER)
        child = type.field(name) or DEDUCED_TYPE
        present, patched = result.get(name), patch.get(name)
        for value in (order, present if present is not None else [], patched if patched is not None else []):
            if not isinstance(value, list):
                raise BadRequest(_BAD_ORDER)
        key = child.merge_key
        if patched:
            _check_order(patched, order, key)
        if name in patch and patched is None:
            continue  # null removes the list, in whatever order
        if present is None and patched is None:
            continue
        done.add(name)
        if present is None:
            merged = _plain(patched)
        else:
            merged = present if patched is None else _merge_value(present, patched, child)
        result[name] = _ordered(merged, order, present or [], key)
    return done


def _check_order(patched: list[Any], order: list[Any], key: str) -> None:
    """Refuse an order that does not name the patch's own items, in the patch's order."""
    wanted = [
        _identity(one, key) for one in patched if not (isinstance(one, dict) and one.get(DIRECTIVE) is not None)
    ]
    positions = {_hashable(_identity(one, key)): place for place, one in enumerate(order)}
    places = [positions.get(_hashable(one), -1) for one in wanted]
    if -1 in places or places != sorted(places):
        lists = f"{go_text(patched)}\n doesn't match {ELEMENT_ORDER.removesuffix('/')} list:\n{go_text(order)}"
        told = f"The order in patch list:\n{lists}\n"
        raise Unclassified(told)


def _identity(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _ordered(merged: list[Any], order: list[Any], original: list[Any], key: str) -> list[Any]:
    """`merged` with the items of `order` in that order; the others keep their place before those that they
    preceded in `original`, and else come last."""
    wanted = {_hashable(_identity(one, key)): place for place, one in reversed(list(enumerate(order)))}
    was = {_hashable(_identity(one, key)): place for place, one in reversed(list(enumerate(original)))}
    identities = [_hashable(_identity(one, key)) for one in merged]
    named = sorted(
        (i for i, one in enumerate(identities) if one in wanted), key=lambda i: wanted[identities[i]]
    )
    others = [i for i, one in enumerate(identities) if one not in wanted]
    others.sort(key=lambda i: was.get(identities[i], len(original)))
    result: list[Any] = []
    left = right = 0
    while left < len(others) and right < len(named):
        before, after = was.get(identities[others[left]]), was.get(identities[named[right]])
        if before is not None and after is not None and before < after:
            result.append(merged[others[left]])
            left += 1
        else:
            result.append(merged[named[right]])
            right += 1
    result += [merged[i] for i in named[right:]]
    return result + [merged[i] for i in others[left:]]
