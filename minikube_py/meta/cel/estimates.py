"""What an expression may cost at most, known before it runs: what CRDs are refused for.

Sizes come from the schemas' maxItems, maxProperties, maxLength and enum; where there are none, from what fits
into a request of 3 MiB. What has no size at all costs UNBOUNDED. Source: cel-go's and Kubernetes' estimates.
Limits: only the upper end is estimated, and the sizes of computed texts only roughly.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Final, NamedTuple

from minikube_py.meta import schema as forms
from minikube_py.meta.cel import costs
from minikube_py.meta.cel.syntax import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select
from minikube_py.meta.cel.types import CelType
from minikube_py.meta.schema import Type

ESTIMATE_LIMIT: Final = 10_000_000
"""What one rule of a CRD may cost, times how often it is evaluated for one object."""
TOTAL_LIMIT: Final = 100_000_000
"""What all rules of a CRD may cost together."""
UNBOUNDED: Final = 2**64 - 1
REQUEST: Final = 3 * 1024 * 1024
_MIN_SIZES: Final = {"bool": 4, "string": 2, "bytes": 2, "timestamp": 12, "duration": 4, "list": 2, "map": 2}
_FORMAT_SIZES: Final = {"duration": 32, "date": 12, "date-time": 30}
_MAX_DEPTH: Final = 8


class Estimate(NamedTuple):
    """The cost of a node, and the size of what it gives."""

    cost: int
    size: int


def greatest_cost(tree: Node) -> int:
    """The upper end of the estimate; UNBOUNDED where there is none."""
    return _bounded(_estimate(tree).cost)


def _bounded(value: int) -> int:
    return min(value, UNBOUNDED)


def max_elements(schema: Type) -> int:
    """How many elements a list or map, or how many bytes a text of the schema has at most."""
    raw, form = schema.raw, schema.form
    if form == forms.LIST:
        return _said(raw, "maxItems") or (REQUEST - 2) // (min_size(schema.items) + 1)
    if form == forms.MAP:
        return _said(raw, "maxProperties") or (REQUEST - 2) // (min_size(schema.items) + 6)
    if raw.get("maxLength") is not None:
        length = max(0, raw["maxLength"])
        return length if raw.get("format") == "byte" else length * 4
    if raw.get("enum") and form == forms.STRING:
        return max((len(one) for one in raw["enum"] if isinstance(one, str)), default=0)
    return _FORMAT_SIZES.get(raw.get("format", ""), REQUEST - 2)


def _said(raw: Mapping[str, Any], limit: str) -> int:
    """A limit that the schema has; 0 for none (a list that may have no item costs nothing to speak of)."""
    said = raw.get(limit)
    return max(1, said) if said is not None else 0


def min_size(schema: Type, depth: int = 0) -> int:
    """How many bytes of JSON a value of the schema has at least."""
    if schema.form == forms.STRUCT and depth < _MAX_DEPTH:
        needed = (name for name in schema.required if name in schema.fields)
        fields = [(name, schema.fields[name]) for name in needed]
        return 2 + sum(len(n) + 4 + min_size(t, depth + 1) for n, t in fields if "default" not in t.raw)
    if schema.form in (forms.LIST, forms.MAP, forms.STRUCT, forms.STRING, forms.BYTES):
        return 2
    return _MIN_SIZES.get(schema.form, 1)


def _size_of(kind: CelType) -> int:
    """The size of a value of which only the type is known."""
    if isinstance(kind.source, Type):
        return max_elements(kind.source) if kind.kind in ("list", "map", "string", "bytes", "dyn") else 1
    return UNBOUNDED if kind.kind in ("list", "map", "string", "bytes", "dyn") else 1


def _estimate(node: Node) -> Estimate:
    return _ESTIMATES[node.__class__](node)


def _const(node: Const) -> Estimate:
    return Estimate(0, costs.size(node.value))


def _ident(node: Ident) -> Estimate:
    return Estimate(1 if node.slot >= 0 else 0, _size_of(node.type))


def _select(node: Select) -> Estimate:
    if node.ident is not None:
        return Estimate(1, _size_of(node.type))
    inner = _estimate(node.operand).cost
    return Estimate(inner, 1) if node.test else Estimate(inner + 1, _size_of(node.type))


def _list(node: ListNode) -> Estimate:
    return Estimate(costs.LIST_COST + sum(_estimate(item).cost for item in node.items), len(node.items))


def _map(node: MapNode) -> Estimate:
    inner = sum(_estimate(key).cost + _estimate(value).cost for key, value, _ in node.entries)
    return Estimate(costs.MAP_COST + inner, len(node.entries))


def _fold(node: Fold) -> Estimate:
    over, init, result = _estimate(node.over), _estimate(node.init), _estimate(node.result)
    each = _estimate(node.condition).cost + _estimate(node.step).cost
    cost = over.cost + init.cost + _times(over.size, each) + result.cost
    grows = isinstance(node.result, Ident) and node.type.kind in ("list", "map")
    return Estimate(cost, over.size if grows else result.size)


def _times(count: int, cost: int) -> int:
    return _bounded(count * cost)


def _call(node: Call) -> Estimate:
    parts = [_estimate(operand) for operand in node.operands]
    spent, sizes = sum(part.cost for part in parts), [part.size for part in parts]
    if node.function == "_?_:_":
        return Estimate(parts[0].cost + max(parts[1].cost, parts[2].cost), max(sizes[1:]))
    own = _CALLS.get(node.function)
    if own is None:
        return Estimate(spent + 1, _size_of(node.type))
    cost, size = own(node, sizes)
    return Estimate(_bounded(spent + cost), _size_of(node.type) if size is None else _bounded(size))


_Own = tuple[int, int | None]


def _share(size: int, factor: float = costs.TRAVERSAL) -> int:
    return UNBOUNDED if size >= UNBOUNDED else ceil(size * factor)


def _free(node: Call, sizes: list[int]) -> _Own:
    return 0, 1


def _comparison(node: Call, sizes: list[int]) -> _Own:
    return _share(min(sizes)), 1


def _addition(node: Call, sizes: list[int]) -> _Own:
    textual = node.operands[0].type.kind in ("string", "bytes")
    return (_share(sum(sizes)) if textual else 1), sum(sizes)


def _membership(node: Call, sizes: list[int]) -> _Own:
    return (sizes[1] if node.args[1].type.kind == "list" else 1), 1


def _search(node: Call, sizes: list[int]) -> _Own:
    return _times(_share(sizes[0]), _share(sizes[1])), 1


def _pattern(node: Call, sizes: list[int]) -> _Own:
    return _times(_share(sizes[0] + 1), _share(sizes[1], costs.REGEX)), sizes[0]


def _traversal(factor: int, *, by: int = 0) -> Callable[[Call, list[int]], _Own]:
    return lambda node, sizes: (_share(sizes[by], factor * costs.TRAVERSAL), sizes[0])


def _text(node: Call, sizes: list[int]) -> _Own:
    """What is bytes, or may be, gives text of its size; upstream knows no size of numbers as text."""
    return (_share(sizes[0]), sizes[0]) if node.operands[0].type.kind in ("bytes", "dyn") else (1, None)


def _elements(node: Call, sizes: list[int]) -> _Own:
    operand = node.operands[0].type
    if operand.kind != "list":
        return _share(sizes[0]), None
    item = operand.params[0]
    each = 1 + (_share(_size_of(item)) if item.kind in ("string", "bytes") else 0)
    return _times(sizes[0], each), sizes[0] if node.function in ("sort", "reverse", "slice") else None


def _join(node: Call, sizes: list[int]) -> _Own:
    operand = node.operands[0].type
    item = _size_of(operand.params[0]) if operand.params else UNBOUNDED
    made = _times(sizes[0], _bounded(item + (sizes[1] if len(sizes) > 1 else 0)))
    return _share(made), made


def _sets(node: Call, sizes: list[int]) -> _Own:
    return 1 + _times(sizes[0], sizes[1]), 1


def _check(node: Call, sizes: list[int]) -> _Own:
    return costs.CHECK, 1


def _append(node: Call, sizes: list[int]) -> _Own:
    return costs.LIST_COST + 1, None


_CALLS: Final[dict[str, Callable[[Call, list[int]], _Own]]] = {
    **dict.fromkeys(("_&&_", "_||_"), _free),
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _comparison),
    **dict.fromkeys(("matches", "find", "findAll"), _pattern),
    **dict.fromkeys(("isSorted", "sum", "min", "max", "indexOf", "lastIndexOf"), _elements),
    **dict.fromkeys(("sort", "reverse", "slice"), _elements),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _sets),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim", "cidr", "ip"), _traversal(1)),
    **dict.fromkeys(("isIP", "isCIDR", "quantity", "isQuantity", "bytes", "semver", "isSemver"), _traversal(1)),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _traversal(2)),
    **dict.fromkeys(("startsWith", "endsWith"), _traversal(1, by=1)),
    "_+_": _addition,
    "@in": _membership,
    "contains": _search,
    "join": _join,
    "string": _text,
    "check": _check,
    "@append": _append,
}
_ESTIMATES: Final[dict[type, Callable[[Any], Estimate]]] = {
    Const: _const,
    Ident: _ident,
    Select: _select,
    Call: _call,
    ListNode: _list,
    MapNode: _map,
    Fold: _fold,
}
