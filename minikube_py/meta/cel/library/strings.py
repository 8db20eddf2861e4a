"""Text: the standard functions, cel-go's strings extension (version 2) and Kubernetes' regular expressions."""

from collections.abc import Callable
from typing import Any, Final

from minikube_py.meta import regex
from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import function, overload
from minikube_py.meta.cel.library.formatting import formatted

_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_SPACE: Final = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def _pattern(text: str) -> regex.Pattern:
    try:
        return regex.compiled(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return found.group() if found is not None else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in _pattern(pattern).finditer(text):
        if 0 <= limit <= len(found):
            break
        found.append(match.group())
    return found


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, wanted: str, offset: int = 0) -> int:
    if not wanted:
        return offset
    if not 0 <= offset <= len(text):
        raise EvaluationError(f"index out of range: {offset}")
    return text.find(wanted, offset)


def _last_index_of(text: str, wanted: str, offset: int | None = None) -> int:
    if not wanted:
        return len(text) if offset is None else offset
    if offset is None:
        return text.rfind(wanted)
    if not 0 <= offset <= len(text):
        raise EvaluationError(f"index out of range: {offset}")
    return text.rfind(wanted, 0, offset + len(wanted))


def _substring(text: str, start: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    if end is not None and start > last:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {last}")
    for index in (start, last):
        if not 0 <= index <= len(text):
            raise EvaluationError(f"index out of range: {index}")
    return text[start:last]


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit if limit >= 0 else -1)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _join(parts: list[str], separator: str = "") -> str:
    return separator.join(parts)


def _quote(text: str) -> str:
    escapes = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    escapes.update({"\\": "\\\\", '"': '\\"'})
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def _strip(text: str) -> str:
    return text.strip(_SPACE)


def _reverse(text: str) -> str:
    return text[::-1]


def _table(table: dict[int, int]) -> Callable[[str], str]:
    return lambda text: text.translate(table)


def _format(text: str, arguments: list[Any]) -> str:
    return formatted(text, arguments)


def _contained(text: str, wanted: str) -> bool:
    return wanted in text


OVERLOADS: Final = (
    overload("string.contains(string): bool", _contained, costs.product),
    overload("string.startsWith(string): bool", str.startswith, costs.text(1)),
    overload("string.endsWith(string): bool", str.endswith, costs.text(1)),
    overload("string.matches(string): bool", _matches, costs.pattern),
    function("matches(string, string): bool", _matches, costs.pattern),
    overload("string.find(string): string", _find, costs.pattern),
    overload("string.findAll(string): list<string>", _find_all, costs.pattern),
    overload("string.findAll(string, int): list<string>", _find_all, costs.pattern),
    overload("string.charAt(int): string", _char_at),
    overload("string.indexOf(string): int", _index_of, costs.traversed),
    overload("string.indexOf(string, int): int", _index_of, costs.traversed),
    overload("string.lastIndexOf(string): int", _last_index_of, costs.traversed),
    overload("string.lastIndexOf(string, int): int", _last_index_of, costs.traversed),
    overload("string.substring(int): string", _substring, costs.text()),
    overload("string.substring(int, int): string", _substring, costs.text()),
    overload("string.replace(string, string): string", _replace, costs.text(0, 2)),
    overload("string.replace(string, string, int): string", _replace, costs.text(0, 2)),
    overload("string.split(string): list<string>", _split, costs.text(0, 2)),
    overload("string.split(string, int): list<string>", _split, costs.text(0, 2)),
    overload("list<string>.join(): string", _join, costs.made),
    overload("list<string>.join(string): string", _join, costs.made),
    overload("string.lowerAscii(): string", _table(_LOWER), costs.text()),
    overload("string.upperAscii(): string", _table(_UPPER), costs.text()),
    overload("string.trim(): string", _strip, costs.text()),
    overload("string.reverse(): string", _reverse, costs.text()),
    overload("string.format(list<dyn>): string", _format, costs.text()),
    function("strings.quote(string): string", _quote, costs.text()),
)
