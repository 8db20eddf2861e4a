"""Macros: calls that are rewritten while an expression is parsed, into folds over lists and maps.

Source: the CEL language definition, macros; cel-go's extensions for optionals, two-variable comprehensions and
`sortBy`. `@append`, `@insert` and `@not_strictly_false` are functions that only macros call.
"""

from collections.abc import Callable
from typing import Final, Protocol

from minikube_py.meta.cel.syntax import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select

ACCU: Final = "@result"


class Refuses(Protocol):
    """The parser, as macros see it."""

    def fail(self, position: int, message: str) -> None:
        """Refuse the expression."""


def expand(parser: Refuses, call: Call) -> Node | None:
    """What the call becomes where it is one of a macro; else None. Errors: CompileError."""
    if call.target is None:
        return _has(parser, call) if call.function == "has" and len(call.args) == 1 else None
    made = _MACROS.get((call.function, len(call.args)))
    return made(parser, call) if made is not None else None


def _has(parser: Refuses, call: Call) -> Node:
    (inner,) = call.args
    if not isinstance(inner, Select) or inner.test:
        parser.fail(inner.position, "invalid argument to has() macro")
        raise AssertionError
    return Select(inner.position, inner.operand, inner.field, test=True)


def _names(parser: Refuses, call: Call, count: int) -> tuple[str, ...]:
    """The variables of a macro, its first arguments."""
    found: list[str] = []
    for place, node in enumerate(call.args[:count]):
        if not isinstance(node, Ident):
            which = "" if count == 1 else ("first " if place == 0 else "second ") + "iteration variable "
            text = "argument must be a simple name" if count == 1 else f"{which}must be a simple name"
            parser.fail(node.position, text)
            raise AssertionError
        found.append(node.name)
    return tuple(found)


def _fold(parser: Refuses, call: Call, count: int, init: Node) -> Fold:
    assert call.target is not None
    made = Fold(call.position, call.target, _names(parser, call, count), ACCU, init)
    made.result = Ident(call.position, ACCU)
    return made


def _accu(call: Call) -> Ident:
    return Ident(call.position, ACCU)


def _all(count: int) -> "_Macro":
    def make(parser: Refuses, call: Call) -> Node:
        at = call.position
        made = _fold(parser, call, count, Const(at, True))
        made.condition = Call(at, "@not_strictly_false", [_accu(call)])
        made.step = Call(at, "_&&_", [_accu(call), call.args[-1]])
        return made

    return make


def _exists(count: int) -> "_Macro":
    def make(parser: Refuses, call: Call) -> Node:
        at = call.position
        made = _fold(parser, call, count, Const(at, False))
        made.condition = Call(at, "@not_strictly_false", [Call(at, "!_", [_accu(call)])])
        made.step = Call(at, "_||_", [_accu(call), call.args[-1]])
        return made

    return make


def _exists_one(count: int) -> "_Macro":
    def make(parser: Refuses, call: Call) -> Node:
        at = call.position
        made = _fold(parser, call, count, Const(at, 0))
        more = Call(at, "_+_", [_accu(call), Const(at, 1)])
        made.step = Call(at, "_?_:_", [call.args[-1], more, _accu(call)])
        made.result = Call(at, "_==_", [_accu(call), Const(at, 1)])
        return made

    return make


def _collect(count: int, *, filtered: bool) -> "_Macro":
    """`map` and `transformList`: a list of what the last argument gives, where the one before it is true."""

    def make(parser: Refuses, call: Call) -> Node:
        at = call.position
        made = _fold(parser, call, count, ListNode(at, []))
        made.step = Call(at, "@append", [_accu(call), call.args[-1]])
        if filtered:
            made.step = Call(at, "_?_:_", [call.args[-2], made.step, _accu(call)])
        return made

    return make


def _filter(parser: Refuses, call: Call) -> Node:
    at = call.position
    made = _fold(parser, call, 1, ListNode(at, []))
    more = Call(at, "@append", [_accu(call), Ident(call.args[0].position, made.variables[0])])
    made.step = Call(at, "_?_:_", [call.args[1], more, _accu(call)])
    return made


def _transform_map(*, filtered: bool, entry: bool) -> "_Macro":
    def make(parser: Refuses, call: Call) -> Node:
        at = call.position
        made = _fold(parser, call, 2, MapNode(at, []))
        value = call.args[-1]
        arguments = [_accu(call), value] if entry else [_accu(call), Ident(at, made.variables[0]), value]
        made.step = Call(at, "@insert", list(arguments))
        if filtered:
            made.step = Call(at, "_?_:_", [call.args[-2], made.step, _accu(call)])
        return made

    return make


def _opt_map(*, flat: bool) -> "_Macro":
    """`optMap`: what the second argument gives of the value, if there is one."""

    def make(parser: Refuses, call: Call) -> Node:
        at = call.position
        (name,) = _names(parser, call, 1)
        assert call.target is not None
        inner = Fold(at, ListNode(at, []), ("#unused",), name, Call(at, "value", [], call.target))
        inner.condition = Const(at, False)
        inner.step = Ident(at, name)
        inner.result = call.args[1]
        made: Node = inner if flat else Call(at, "optional.of", [inner])
        return Call(at, "_?_:_", [Call(at, "hasValue", [], call.target), made, Call(at, "optional.none", [])])

    return make


def _sort_by(parser: Refuses, call: Call) -> Node:
    assert call.target is not None
    keys = _collect(1, filtered=False)(parser, call)
    return Call(call.position, "@sortByAssociatedKeys", [keys], call.target)


_Macro = Callable[[Refuses, Call], Node]
_MACROS: Final[dict[tuple[str, int], _Macro]] = {
    ("all", 2): _all(1),
    ("exists", 2): _exists(1),
    ("exists_one", 2): _exists_one(1),
    ("map", 2): _collect(1, filtered=False),
    ("map", 3): _collect(1, filtered=True),
    ("filter", 2): _filter,
    ("all", 3): _all(2),
    ("exists", 3): _exists(2),
    ("existsOne", 3): _exists_one(2),
    ("exists_one", 3): _exists_one(2),
    ("existsOne", 2): _exists_one(1),
    ("transformList", 3): _collect(2, filtered=False),
    ("transformList", 4): _collect(2, filtered=True),
    ("transformMap", 3): _transform_map(filtered=False, entry=False),
    ("transformMap", 4): _transform_map(filtered=True, entry=False),
    ("transformMapEntry", 3): _transform_map(filtered=False, entry=True),
    ("transformMapEntry", 4): _transform_map(filtered=True, entry=True),
    ("optMap", 2): _opt_map(flat=False),
    ("optFlatMap", 2): _opt_map(flat=True),
    ("sortBy", 2): _sort_by,
}
