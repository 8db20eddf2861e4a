"""The type check: gives each node its type, each name its slot, each call the overloads it may mean.

All faults are gathered, worded as cel-go words them. Source: the CEL language definition, type checking.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from minikube_py.meta import regex
from minikube_py.meta.cel import types
from minikube_py.meta.cel.errors import EvaluationError, Issue, compile_error
from minikube_py.meta.cel.functions import Overload
from minikube_py.meta.cel.inference import Substitution, most_general
from minikube_py.meta.cel.library.times import parse_duration, parse_timestamp
from minikube_py.meta.cel.syntax import (
    Call,
    Const,
    Fold,
    Ident,
    ListNode,
    MapNode,
    Node,
    Select,
    StructNode,
    qualified,
)
from minikube_py.meta.cel.types import CelType
from minikube_py.meta.cel.values import UInt

_CONSTANTS: Final = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}
_LITERALS: Final[dict[str, Callable[[str], Any]]] = {
    "matches": regex.compiled,
    "find": regex.compiled,
    "findAll": regex.compiled,
    "duration": parse_duration,
    "timestamp": parse_timestamp,
}
"""Functions whose argument is looked at before the expression runs, where it is a literal."""
Functions = Mapping[str, tuple[Overload, ...]]


class Checker:
    """The check of one expression. `slots` counts the places that names need while it runs."""

    def __init__(self, text: str, variables: Mapping[str, CelType], functions: Functions) -> None:
        self._text = text
        self._functions = functions
        self._variables = {name: (slot, kind) for slot, (name, kind) in enumerate(variables.items())}
        self._scopes: list[dict[str, tuple[int, CelType]]] = []
        self._issues: list[Issue] = []
        self._unlike: list[Issue] = []  # elements of literals that differ: told where nothing else is wrong
        self._types = Substitution()
        self.slots = len(variables)
        self.references: set[str] = set()
        self._mixed: set[int] = set()  # list literals whose elements may differ: the arguments of format

    def check(self, tree: Node) -> CelType:
        """The type of the whole. Errors: CompileError with all that is wrong."""
        found = self._types.resolved(self._node(tree), final=True)
        if self._issues or self._unlike:
            raise compile_error(self._text, self._issues or self._unlike)
        return found

    def _fault(self, node: Node, message: str) -> CelType:
        self._issues.append(Issue(node.position, message))
        return types.ERROR

    def _undeclared(self, node: Node, name: str) -> CelType:
        return self._fault(node, f"undeclared reference to '{name}' (in container '')")

    def _node(self, node: Node) -> CelType:
        node.type = self._types.resolved(_CHECKS[node.__class__](self, node))
        return node.type

    def _const(self, node: Const) -> CelType:
        return _CONSTANTS[node.value.__class__]

    def _ident(self, node: Ident) -> CelType:
        found = self._named(node, node.name)
        return self._undeclared(node, node.name) if found is None else found

    def _named(self, node: Ident, name: str) -> CelType | None:
        for scope in reversed(self._scopes):
            if name in scope:
                node.slot, kind = scope[name]
                return kind
        if name in self._variables:
            self.references.add(name)
            node.slot, kind = self._variables[name]
            return kind
        known = types.TYPE_NAMES.get(name)
        return None if known is None else types.type_type(known)

    def _select(self, node: Select) -> CelType:
        name = qualified(node)
        if name and not self._is_local(name.partition(".")[0]):
            ident = Ident(node.position, name)
            found = self._named(ident, name)
            if found is not None:
                node.ident = ident
                return found
        found = self._field(node, self._node(node.operand), node.field)
        return types.BOOL if node.test else found

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _field(self, node: Node, of: CelType, name: str) -> CelType:
        of = self._types.resolved(of)
        if of.kind == "optional":
            return types.optional(self._field(node, of.params[0], name))
        if of.kind == "map":
            return of.params[1]
        if of.kind == "object":
            found = of.fields.get(name)
            return self._fault(node, f"undefined field '{name}'") if found is None else found
        if of.kind in ("dyn", "error", "param"):
            return types.DYN
        return self._fault(node, f"type '{of}' does not support field selection")

    def _call(self, node: Call) -> CelType:
        if node.function == "_?._":
            return self._optional_select(node)
        if node.target is not None:
            name = qualified(node.target)
            full = f"{name}.{node.function}"
            if name and full in self._functions and not self._is_local(name.partition(".")[0]):
                node.target, node.function = None, full
        if node.function == "format" and node.target is not None:
            self._mixed.update(id(argument) for argument in node.args)
        given = [self._node(operand) for operand in node.operands]
        overloads = self._functions.get(node.function)
        if overloads is None:
            return self._undeclared(node, node.function)
        self._check_literal(node)
        return self._resolve(node, overloads, given)

    def _optional_select(self, node: Call) -> CelType:
        field = node.args[1]
        found = self._field(node, self._node(node.args[0]), str(getattr(field, "value", "")))
        self._node(field)
        return found if found.kind == "optional" else types.optional(found)

    def _resolve(self, node: Call, overloads: tuple[Overload, ...], given: list[CelType]) -> CelType:
        member = node.target is not None
        result: CelType | None = None
        node.overloads = []
        for one in overloads:
            if one.member != member or len(one.params) != len(given):
                continue
            *wanted, gives = self._types.instance((*one.params, one.result))
            if not self._types.all_assignable(wanted, given):
                continue
            node.overloads.append(one)
            made = self._types.resolved(gives)
            result = made if result is None or result == made else types.DYN
        if result is None:
            shown = types.signature([self._types.resolved(one, final=True) for one in given], member=member)
            name = node.function.removeprefix("@") if node.function != "@in" else "@in"
            return self._fault(node, f"found no matching overload for '{name}' applied to '{shown}'")
        return result

    def _check_literal(self, node: Call) -> None:
        parse = _LITERALS.get(node.function)
        literal = node.args[-1] if node.args and node.function not in ("findAll",) else None
        if parse is None or not isinstance(literal, Const) or not isinstance(literal.value, str):
            return
        try:
            parse(literal.value)
        except (ValueError, EvaluationError):
            self._fault(literal, f"invalid {node.function} argument")

    def _joined(self, node: Node, before: CelType | None, found: CelType) -> CelType:
        """The type of elements so far and the next one, which must be alike."""
        if before is None:
            return found
        if self._types.assignable(before, found):
            return most_general(before, found)
        shown = self._types.resolved(before, final=True), self._types.resolved(found, final=True)
        self._unlike.append(Issue(node.position, f"expected type '{shown[0]}' but found '{shown[1]}'"))
        return types.DYN

    def _element(self, node: Node, *, optional: bool) -> CelType:
        found = self._node(node)
        if not optional:
            return found
        if found.kind == "optional":
            return found.params[0]
        if found.kind in ("dyn", "error"):
            return found
        return self._fault(node, f"expected type 'optional_type({found})' but found '{found}'")

    def _list(self, node: ListNode) -> CelType:
        items: CelType | None = None
        for place, item in enumerate(node.items):
            found = self._element(item, optional=place in node.optional)
            items = types.DYN if id(node) in self._mixed else self._joined(item, items, found)
        return types.list_of(items or self._types.fresh())

    def _map(self, node: MapNode) -> CelType:
        keys: CelType | None = None
        values: CelType | None = None
        for key, value, optional in node.entries:
            keys = self._joined(key, keys, self._node(key))
            values = self._joined(value, values, self._element(value, optional=optional))
        return types.map_of(keys or self._types.fresh(), values or self._types.fresh())

    def _struct(self, node: StructNode) -> CelType:
        for _, value, _ in node.entries:
            self._node(value)
        return self._undeclared(node, node.name)

    def _fold(self, node: Fold) -> CelType:
        over = self._types.resolved(self._node(node.over))
        accu = self._node(node.init)
        slots = tuple(range(self.slots, self.slots + 3))
        self.slots += 3
        node.slots = (slots[0], slots[1], slots[2])
        self._scopes.append({node.accu: (slots[2], accu)})
        bound = zip(node.variables, self._elements(node, over), strict=False)
        self._scopes.append({name: (slots[place], kind) for place, (name, kind) in enumerate(bound)})
        self._node(node.condition)
        step = self._node(node.step)
        if not self._types.assignable(accu, step):
            shown = self._types.resolved(accu, final=True), self._types.resolved(step, final=True)
            self._fault(node.step, f"expected type '{shown[0]}' but found '{shown[1]}'")
        self._scopes.pop()
        result = self._node(node.result)
        self._scopes.pop()
        return result

    def _elements(self, node: Fold, over: CelType) -> tuple[CelType, CelType]:
        """The types of the loop's variables."""
        two = len(node.variables) == 2
        if over.kind == "list":
            return (types.INT, over.params[0]) if two else (over.params[0], types.DYN)
        if over.kind == "map":
            return over.params[0], over.params[1]
        if over.kind not in ("dyn", "error", "param"):
            shown = f"expression of type '{over}' cannot be range of a comprehension"
            self._fault(node.over, f"{shown} (must be list, map, or dynamic)")
        return types.DYN, types.DYN


_CHECKS: Final[dict[type, Callable[[Checker, Any], CelType]]] = {
    Const: Checker._const,
    Ident: Checker._ident,
    Select: Checker._select,
    Call: Checker._call,
    ListNode: Checker._list,
    MapNode: Checker._map,
    StructNode: Checker._struct,
    Fold: Checker._fold,
}
