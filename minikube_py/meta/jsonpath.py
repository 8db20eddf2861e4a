"""JSONPath as client-go understands it, for the printer columns of custom resources.

    find = compile_path('.status.conditions[?(@.type=="Ready")].status')     # ValueError
    find(obj)                                                                # the list of values

What there is: names (`.a.b`, `['a.b']`, `.a\\.b`), `*`, `..`, indices and slices `[0]`, `[-1]`, `[1:3]`, unions
`[0,2]` and `['a','b']`, filters `[?(@.a=="x")]` with ==, !=, <, <=, >, >= or none. What is
missing gives nothing.
Limits: a path looks at MOST_VALUES values of an object, in order, and tells what it has found by then: one that
goes over everything several times (`..` after `..`) would look at more than there are atoms.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MOST_VALUES = 1_000
LONGEST = 4096
"""Characters of a path."""
_MOST_FILTERS = 20
Find = Callable[[Any], list[Any]]
_Budget = list[int]
"""How many values may still be looked at."""
_Step = Callable[[Any, _Budget], Iterable[Any]]

_NAME = re.compile(r"(?:[^.\[\\]|\\.)+")
_SLICE = re.compile(r"(-?\d+)?(?::(-?\d+)?(?::(-?\d+)?)?)?")
_OPERATOR = re.compile("[=!<>]+")
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
    if len(path) > LONGEST or path.count("?(") > _MOST_FILTERS:
        raise ValueError("the path is too long")
    steps = _compiled(path)
    return lambda value: list(_walk(value, steps, 0, [MOST_VALUES]))


def _compiled(path: str) -> tuple[_Step, ...]:
    return tuple(_steps(path.removeprefix("$").removeprefix("@")))


def _walk(value: Any, steps: tuple[_Step, ...], at: int, left: _Budget) -> Iterator[Any]:
    """What the steps from `at` on find below a value."""
    if at == len(steps):
        yield value
        return
    for below in steps[at](value, left):
        left[0] -= 1
        if left[0] < 0:
            return
        yield from _walk(below, steps, at + 1, left)


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
    if names and not _QUOTED.sub("", text).strip(", "):
        return _union([_field(re.sub(r"\\(.)", r"\1", single or double)) for single, double in names])
    return _union([_index(one.strip()) for one in text.split(",")])


def _union(steps: list[_Step]) -> _Step:
    return (
        steps[0]
        if len(steps) == 1
        else lambda value, left: (one for step in steps for one in step(value, left))
    )


def _index(text: str) -> _Step:
    found = _SLICE.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"invalid array index {text}")
    first, last, step = (int(one) if one else None for one in found.groups())
    if step == 0:
        raise ValueError("the step of a slice is 0")
    if ":" in text:
        return lambda value, _: value[slice(first, last, step)] if isinstance(value, list) else ()
    at = first or 0
    return lambda value, _: value[at:][:1] if isinstance(value, list) and -len(value) <= at < len(value) else ()


def _field(name: str) -> _Step:
    return lambda value, _: (value[name],) if isinstance(value, dict) and value.get(name) is not None else ()


def _any(value: Any, _: _Budget) -> Iterable[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _everything(value: Any, left: _Budget) -> Iterator[Any]:
    yield value
    for below in _any(value, left):
        yield from _everything(below, left)


def _filter(text: str) -> _Step:
    operator = _OPERATOR.search(text)
    first = _operand((text[: operator.start()] if operator else text).strip())
    second: _Step = first
    compare: Callable[[Any, Any], bool] = _exists
    if operator is not None:
        if operator[0] not in _COMPARE:
            raise ValueError(f"invalid filter {text}")
        second, compare = _operand(text[operator.end() :].strip()), _COMPARE[operator[0]]

    def passing(value: Any, left: _Budget) -> Iterator[Any]:
        for one in _any(value, left):
            left[0] -= 1
            if left[0] < 0:
                return
            a, b = next(iter(first(one, left)), None), next(iter(second(one, left)), None)
            try:
                passes = a is not None and b is not None and compare(a, b)
            except TypeError:
                passes = False
            if passes:
                yield one

    return passing


def _exists(a: Any, b: Any) -> bool:
    return True


def _operand(text: str) -> _Step:
    """What finds the first value of a side of a filter."""
    if not text:
        raise ValueError("invalid filter: a side of it is missing")
    if text.startswith(("@", "$")):
        steps = _compiled(text)
        return lambda value, left: _walk(value, steps, 0, left)
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        literal: Any = quoted[1] if quoted[1] is not None else quoted[2]
    elif text in ("true", "false"):
        literal = text == "true"
    else:
        literal = float(text) if "." in text else int(text)
    return lambda value, left: (literal,)
