"""JSONPath as client-go understands it, for the printer columns of custom resources.

    find = compile_path('.status.conditions[?(@.type=="Ready")].status')     # ValueError
    find(obj)                                                                # the list of values

What there is: names (`.a.b`, `['a.b']`, `.a\\.b`), `*`, `..`, indices and slices `[0]`, `[-1]`, `[1:3]`, unions
`[0,2]` and `['a','b']`, filters `[?(@.a=="x")]` with ==, !=, <, <=, >, >= or none. What is
missing gives nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Find = Callable[[Any], list[Any]]
_Step = Callable[[Any], Iterable[Any]]

_NAME = re.compile(r"(?:[^.\[\\]|\\.)+")
_SLICE = re.compile(r"(-?\d+)?(?::(-?\d+)?(?::(-?\d+)?)?)?")
_FILTER = re.compile(
    r"\s*(?P<left>[^=!<>]+?)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*", re.DOTALL
)
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compile_path(path: str) -> Find:
    """What finds the values at a path. Errors: ValueError."""
    steps = tuple(_steps(path.removeprefix("$").removeprefix("@")))

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = [below for one in found for below in step(one)]
        return found

    return find


def _steps(path: str) -> Iterator[_Step]:
    at = 0
    while at < len(path):
        if path.startswith("..", at):
            yield _everything
            at += 1
            if path[at + 1 : at + 2] == "[":
                at += 1
        elif path[at] == ".":
            name = _NAME.match(path, at + 1)
            at += 1
            if name is not None:
                yield _any if name[0] == "*" else _field(re.sub(r"\\(.)", r"\1", name[0]))
                at = name.end()
            elif at < len(path) and path[at] != "[":
                raise ValueError(f"unexpected character at {at} in {path!r}")
        elif path[at] == "[":
            end = _closing(path, at)
            yield _bracket(path[at + 1 : end])
            at = end + 1
        else:
            raise ValueError(f"unexpected character at {at} in {path!r}")


def _closing(path: str, start: int) -> int:
    depth, quote, at = 0, "", start
    while at < len(path):
        character = path[at]
        if quote:
            at += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[(":
            depth += 1
        elif character in "])":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise ValueError(f"unterminated array in {path!r}")


def _bracket(text: str) -> _Step:
    text = text.strip()
    if text == "*":
        return _any
    if text.startswith("?(") and text.endswith(")"):
        return _filter(text[2:-1])
    names = _QUOTED.findall(text)
    if names and re.fullmatch(r"\s*,?\s*", _QUOTED.sub("", text)):
        return _union([_field(re.sub(r"\\(.)", r"\1", single or double)) for single, double in names])
    return _union([_index(one.strip()) for one in text.split(",")])


def _union(steps: list[_Step]) -> _Step:
    return steps[0] if len(steps) == 1 else lambda value: (one for step in steps for one in step(value))


def _index(text: str) -> _Step:
    found = _SLICE.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"invalid array index {text}")
    first, last, step = (int(one) if one else None for one in found.groups())
    if ":" in text:
        return lambda value: value[slice(first, last, step)] if isinstance(value, list) else ()
    at = first or 0
    return lambda value: value[at:][:1] if isinstance(value, list) and -len(value) <= at < len(value) else ()


def _field(name: str) -> _Step:
    return lambda value: (value[name],) if isinstance(value, dict) and value.get(name) is not None else ()


def _any(value: Any) -> Iterable[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _everything(value: Any) -> Iterator[Any]:
    yield value
    for below in _any(value):
        yield from _everything(below)


def _filter(text: str) -> _Step:
    parts = _FILTER.fullmatch(text)
    if parts is None:
        raise ValueError(f"invalid filter {text}")
    left = _operand(parts["left"])
    if not parts["operator"]:
        return lambda value: [one for one in _any(value) if left(one)]
    right, compare = _operand(parts["right"]), _COMPARE[parts["operator"]]

    def passes(one: Any) -> bool:
        a, b = left(one), right(one)
        try:
            return bool(a) and bool(b) and compare(a[0], b[0])
        except TypeError:
            return False

    return lambda value: [one for one in _any(value) if passes(one)]


def _operand(text: str) -> Find:
    if text.startswith(("@", "$")):
        return compile_path(text)
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        literal: Any = quoted[1] if quoted[1] is not None else quoted[2]
    elif text in ("true", "false"):
        literal = text == "true"
    else:
        literal = float(text) if "." in text else int(text)
    return lambda value: [literal]
