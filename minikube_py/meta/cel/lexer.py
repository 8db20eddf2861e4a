"""Tokens of an expression. Source: the CEL language definition, lexis."""

import re
from typing import Any, Final, NamedTuple

from minikube_py.meta.cel.errors import Issue, compile_error
from minikube_py.meta.cel.values import UInt

RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
KEYWORDS: Final = frozenset(("true", "false", "null", "in"))

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:[\t\n\f\r ]+|//[^\n]*)+)
    |(?P<float>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?))
    |(?P<int>(?:0x[0-9a-fA-F]+|[0-9]+)[uU]?)
    |(?P<string>(?:[rR]?[bB]?|[bB][rR])(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}
        |"(?:[^"\\\n\r]|\\[^\n])*"|'(?:[^'\\\n\r]|\\[^\n])*'))
    |(?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<op>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_RAW: Final = re.compile(r"""[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n\r]*"|'[^'\n\r]*')""", re.DOTALL)
_ESCAPE: Final = re.compile(
    r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL
)
_SIMPLE: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}


class Token(NamedTuple):
    """kind is op, ident, const or end; `value` is a constant's."""

    kind: str
    text: str
    position: int
    value: Any = None


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, an `end` last. Errors: CompileError."""
    found: list[Token] = []
    place = 0
    while place < len(text):
        match = _RAW.match(text, place)
        kind = "string" if match else ""
        if match is None:
            match = _TOKEN.match(text, place)
            if match is None:
                raise _unrecognized(text, place)
            kind = str(match.lastgroup)
        if kind != "space":
            found.append(_token(text, kind, match.group(), place))
        place = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found


def _unrecognized(text: str, place: int) -> Exception:
    shown = text[place:] if text[place] in "\"'" else text[place]
    issues = [Issue(place, f"Syntax error: token recognition error at: '{shown}'")]
    return compile_error(text, issues)


def _token(text: str, kind: str, word: str, place: int) -> Token:
    try:
        if kind == "int":
            return Token("const", word, place, _integer(word))
        if kind == "float":
            return Token("const", word, place, float(word))
        if kind == "string":
            return Token("const", word, place, _string(word))
    except ValueError as error:
        raise compile_error(text, [Issue(place, str(error))]) from None
    return Token(kind, word, place)


def _integer(word: str) -> int:
    digits = word.rstrip("uU")
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    if word[-1] in "uU":
        if value >= 2**64:
            raise ValueError("invalid uint literal")
        return UInt(value)
    if value > 2**63:  # the lowest int has its minus before it
        raise ValueError("invalid int literal")
    return value


def _string(word: str) -> str | bytes:
    prefix = word[: min(word.index(quote) for quote in "\"'" if quote in word)].lower()
    body = word[len(prefix) :]
    width = 3 if body[:3] in ('"""', "'''") else 1
    body = body[width:-width].replace("\r\n", "\n").replace("\r", "\n")
    is_bytes = "b" in prefix
    if "r" in prefix:
        return body.encode() if is_bytes else body
    if is_bytes:
        return _bytes(body)
    return _ESCAPE.sub(_letter, body)


def _letter(match: re.Match[str]) -> str:
    code = match.group(1)
    if code in _SIMPLE:
        return _SIMPLE[code]
    if code[0] in "xXuU" and len(code) > 1:
        number = int(code[1:], 16)
    elif len(code) == 3:
        number = int(code, 8)
    else:
        raise ValueError("Syntax error: unable to unescape string")
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise ValueError("Syntax error: invalid unicode code point")
    return chr(number)


def _bytes(body: str) -> bytes:
    """Escapes by number are single bytes; all else is UTF-8."""
    made, place = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        made += body[place : match.start()].encode()
        code = match.group(1)
        if code[0] in "uU" and len(code) > 1:
            raise ValueError("Syntax error: illegal escape sequence in bytes literal")
        letter = _letter(match)
        made += bytes((ord(letter),)) if code not in _SIMPLE else letter.encode()
        place = match.end()
    return bytes(made + body[place:].encode())
