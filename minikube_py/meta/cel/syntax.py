"""The syntax tree of an expression. The checker notes in each node what it found out: its type, the overloads
that a call may mean, and the slot of a variable."""

from typing import Any

from minikube_py.meta.cel.types import DYN, CelType


class Node:
    """A node; `position` is the character at which messages point."""

    __slots__ = ("position", "type")

    def __init__(self, position: int) -> None:
        self.position = position
        self.type: CelType = DYN


class Const(Node):
    """A literal."""

    __slots__ = ("value",)

    def __init__(self, position: int, value: Any) -> None:
        super().__init__(position)
        self.value = value


class Ident(Node):
    """A name. `slot` is the place of its value; a name of a type has none."""

    __slots__ = ("name", "slot")

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name
        self.slot = -1


class Select(Node):
    """`operand.field`, or `has(operand.field)`. `ident` is what it means where the whole is one name."""

    __slots__ = ("field", "ident", "operand", "test")

    def __init__(self, position: int, operand: Node, field: str, *, test: bool = False) -> None:
        super().__init__(position)
        self.operand = operand
        self.field = field
        self.test = test
        self.ident: Ident | None = None


class Call(Node):
    """A call of a function, an operator or a member; `overloads` are those that it may mean."""

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, position: int, function: str, args: list[Node], target: Node | None = None) -> None:
        super().__init__(position)
        self.function = function
        self.args = args
        self.target = target
        self.overloads: list[Any] = []

    @property
    def operands(self) -> list[Node]:
        """The target, if any, and the arguments."""
        return self.args if self.target is None else [self.target, *self.args]


class ListNode(Node):
    """`[a, ?b]`; `optional` holds the indices of optional elements."""

    __slots__ = ("items", "optional")

    def __init__(self, position: int, items: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(position)
        self.items = items
        self.optional = optional


class MapNode(Node):
    """`{k: v, ?k: v}` as (key, value, whether optional)."""

    __slots__ = ("entries",)

    def __init__(self, position: int, entries: list[tuple[Node, Node, bool]]) -> None:
        super().__init__(position)
        self.entries = entries


class StructNode(Node):
    """`Name{field: value}`."""

    __slots__ = ("entries", "name")

    def __init__(self, position: int, name: str, entries: list[tuple[str, Node, bool]]) -> None:
        super().__init__(position)
        self.name = name
        self.entries = entries


class Fold(Node):
    """What macros become: for each element, while `condition`, `accu = step`; then `result`.
    `slots` are the places of the element (or key), the second variable, and the accumulator."""

    __slots__ = ("accu", "condition", "init", "over", "result", "slots", "step", "variables")

    def __init__(self, position: int, over: Node, variables: tuple[str, ...], accu: str, init: Node) -> None:
        super().__init__(position)
        self.over = over
        self.variables = variables
        self.accu = accu
        self.init = init
        self.condition: Node = Const(position, True)
        self.step: Node = init
        self.result: Node = init
        self.slots = (-1, -1, -1)


def qualified(node: Node | None) -> str:
    """`a.b.c` where the node is nothing but names, else empty."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        before = qualified(node.operand)
        return f"{before}.{node.field}" if before else ""
    return ""
