"""From text to a syntax tree, macros expanded. Source: the CEL language definition, grammar.

Messages point where cel-go's do: at operators, at the dot of a field, at the parenthesis of a call.
"""

from typing import Final, NoReturn

from minikube_py.meta.cel import macros
from minikube_py.meta.cel.errors import Issue, compile_error
from minikube_py.meta.cel.lexer import KEYWORDS, RESERVED, Token, tokens
from minikube_py.meta.cel.syntax import (
    Call,
    Const,
    Ident,
    ListNode,
    MapNode,
    Node,
    Select,
    StructNode,
    qualified,
)

MAX_DEPTH: Final = 250
MAX_LENGTH: Final = 100_000

_RELATIONS: Final = frozenset(("<", "<=", ">", ">=", "==", "!=", "in"))
_STARTS: Final = (
    "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', "
    "NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"
)
_LEVELS: Final = (_RELATIONS, frozenset("+-"), frozenset("*/%"))


def parse(text: str) -> Node:
    """The tree of an expression. Errors: CompileError."""
    if len(text) > MAX_LENGTH:
        size = f"expression code point size exceeds limit: size: {len(text)}, limit {MAX_LENGTH}"
        raise compile_error("", [Issue(0, size)])
    try:
        return Parser(text).whole()
    except RecursionError:
        issue = Issue(0, f"expression recursion limit exceeded: {MAX_DEPTH}")
        raise compile_error(text, [issue]) from None


class Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> Token | None:
        token = self._next
        return self._take() if token.text in texts and token.kind in ("op", "ident") else None

    def fail(self, position: int, message: str) -> NoReturn:
        """Refuse the expression."""
        raise compile_error(self.text, [Issue(position, message)])

    def _expect(self, text: str) -> Token:
        token = self._next
        if token.text != text or token.kind != "op":
            self._mismatch(f"'{text}'")
        return self._take()

    def _mismatch(self, expected: str) -> NoReturn:
        token = self._next
        what = "extraneous" if expected == "<EOF>" and token.kind != "op" else "mismatched"
        self.fail(token.position, f"Syntax error: {what} input '{token.text}' expecting {expected}")

    def whole(self) -> Node:
        """The whole text as one expression."""
        found = self._expression()
        if self._next.kind != "end":
            self._mismatch("<EOF>")
        return found

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(0, f"expression recursion limit exceeded: {MAX_DEPTH}")
        found = self._logical("||", "_||_")
        mark = self._accept("?")
        if mark is not None:
            chosen = self._logical("||", "_||_")
            self._expect(":")
            found = Call(mark.position, "_?_:_", [found, chosen, self._expression()])
        self._depth -= 1
        return found

    def _logical(self, operator: str, function: str) -> Node:
        """Terms joined by && or ||, as a balanced tree."""
        terms, marks = [self._term(operator)], []
        while (mark := self._accept(operator)) is not None:
            marks.append(mark.position)
            terms.append(self._term(operator))
        return _balanced(function, terms, marks)

    def _term(self, operator: str) -> Node:
        return self._logical("&&", "_&&_") if operator == "||" else self._binary(0)

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        found = self._binary(level + 1)
        while (mark := self._accept(*_LEVELS[level])) is not None:
            function = "@in" if mark.text == "in" else f"_{mark.text}_"
            found = Call(mark.position, function, [found, self._binary(level + 1)])
        return found

    def _unary(self) -> Node:
        mark = self._accept("!", "-")
        if mark is None:
            return self._member()
        count = 1
        while self._accept(mark.text) is not None:
            count += 1
        if (
            mark.text == "-"
            and count == 1
            and _is_number(self._next)
            and self._next.position == mark.position + 1
        ):
            number = self._take()
            return self._members(Const(mark.position, self._negative(number)))
        operand = self._member()
        if count % 2 == 0:
            return operand
        return Call(mark.position, "!_" if mark.text == "!" else "-_", [operand])

    def _negative(self, number: Token) -> float | int:
        if isinstance(number.value, float):
            return -number.value
        return -int(number.value)

    def _member(self) -> Node:
        return self._members(self._primary())

    def _members(self, found: Node) -> Node:
        while True:
            if (dot := self._accept(".")) is not None:
                found = self._dotted(found, dot)
            elif (bracket := self._accept("[")) is not None:
                function = "_[?_]" if self._accept("?") else "_[_]"
                index = self._expression()
                self._expect("]")
                found = Call(bracket.position, function, [found, index])
            elif self._next.text == "{" and self._next.kind == "op" and qualified(found):
                found = self._struct(qualified(found))
            else:
                return found

    def _dotted(self, operand: Node, dot: Token) -> Node:
        optional = self._accept("?")
        name = self._next
        if name.kind != "ident" or (name.text in KEYWORDS and name.text != "in") or name.text == "in":
            self._mismatch("{IDENTIFIER, ESC_IDENTIFIER}" if not optional else "IDENTIFIER")
        self._take()
        if optional is not None:
            return Call(dot.position, "_?._", [operand, Const(name.position, name.text)])
        if (bracket := self._accept("(")) is not None:
            return self._call(bracket.position, name.text, operand)
        return Select(dot.position, operand, name.text)

    def _call(self, position: int, name: str, target: Node | None) -> Node:
        arguments = self._arguments(")")
        expanded = macros.expand(self, Call(position, name, arguments, target))
        return expanded or Call(position, name, arguments, target)

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self._accept(end):
            found.append(self._expression())
            if self._accept(","):
                continue
            self._expect(end)
            break
        return found

    def _primary(self) -> Node:
        token = self._next
        if token.kind == "const":
            self._take()
            if token.value == 2**63 and token.value.__class__ is int:
                self.fail(token.position, "invalid int literal")
            return Const(token.position, token.value)
        if token.kind == "ident" and token.text != "in":
            return self._name(self._take())
        if self._accept("("):
            found = self._expression()
            self._expect(")")
            return found
        if self._accept("["):
            return self._list(token.position)
        if self._accept("{"):
            return self._map(token.position)
        if self._accept("."):
            return self._name(self._take())
        return self._mismatch("{" + _STARTS + "}")

    def _name(self, token: Token) -> Node:
        if token.text in ("true", "false", "null"):
            return Const(token.position, {"true": True, "false": False, "null": None}[token.text])
        if token.kind != "ident":
            self.fail(token.position, f"Syntax error: mismatched input '{token.text}' expecting IDENTIFIER")
        if token.text in RESERVED:
            self.fail(token.position, f"reserved identifier: {token.text}")
        if (bracket := self._accept("(")) is not None:
            return self._call(bracket.position, token.text, None)
        return Ident(token.position, token.text)

    def _list(self, position: int) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while not self._accept("]"):
            if self._accept("?"):
                optional.add(len(items))
            items.append(self._expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListNode(position, items, frozenset(optional))

    def _map(self, position: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._accept("}"):
            optional = self._accept("?") is not None
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return MapNode(position, entries)

    def _struct(self, name: str) -> Node:
        position = self._expect("{").position
        entries: list[tuple[str, Node, bool]] = []
        while not self._accept("}"):
            optional = self._accept("?") is not None
            field = self._take()
            self._expect(":")
            entries.append((field.text, self._expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return StructNode(position, name, entries)


def _is_number(token: Token) -> bool:
    return token.kind == "const" and token.value.__class__ in (int, float)


def _balanced(function: str, terms: list[Node], marks: list[int]) -> Node:
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    left = _balanced(function, terms[:middle], marks[: middle - 1])
    right = _balanced(function, terms[middle:], marks[middle:])
    return Call(marks[middle - 1], function, [left, right])
