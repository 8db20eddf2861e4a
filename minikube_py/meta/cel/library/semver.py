"""Semantic versions: Kubernetes' `semver` library, with its tolerant normalization."""

import re
from functools import lru_cache
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import overload
from minikube_py.meta.cel.types import SEMVER

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


class Semver:
    """A version; build metadata is no part of its order."""

    TYPE = SEMVER.name
    __slots__ = ("numbers", "order", "text")

    def __init__(self, text: str, numbers: tuple[int, int, int], before: str) -> None:
        self.text = text
        self.numbers = numbers
        parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in before.split(".") if one)
        self.order: tuple[Any, ...] = (*numbers, not parts, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and other.order == self.order

    def __hash__(self) -> int:
        return hash(self.order)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=1024)
def _parsed(text: str, normalize: bool = False) -> Semver:
    given = _normalized(text) if normalize else text
    match = _VERSION.fullmatch(given)
    before = match[4] or "" if match else ""
    leading_zero = any(one.isdigit() and len(one) > 1 and one[0] == "0" for one in before.split("."))
    if match is None or leading_zero:
        raise EvaluationError(_fault(given))
    return Semver(given, (int(match[1]), int(match[2]), int(match[3])), before)


def _fault(text: str) -> str:
    if not text:
        return "Version string empty"
    parts = text.split(".", 2)
    if len(parts) != 3:
        return "No Major.Minor.Patch elements found"
    named = zip(("major", "minor"), parts, strict=False)
    for name, part in named:
        if not (part.isascii() and part.isdigit()):
            return f'Invalid character(s) found in {name} number "{part}"'
        if len(part) > 1 and part[0] == "0":
            return f'{name.capitalize()} number must not contain leading zeroes "{part}"'
    return f'Invalid character(s) found in patch number "{parts[2]}"'


def _normalized(text: str) -> str:
    """Without a leading v and leading zeros, filled up to three numbers."""
    core, mark, rest = text.removeprefix("v"), "", ""
    cut = re.search(r"[-+]", core)
    if cut:
        core, mark, rest = core[: cut.start()], core[cut.start()], core[cut.end() :]
    numbers = [part.lstrip("0") or "0" if part.isdigit() else part for part in core.split(".")]
    return ".".join([*numbers, "0", "0"][: max(3, len(numbers))]) + mark + rest


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        _parsed(text, normalize)
    except EvaluationError:
        return False
    return True


def _compare(left: Semver, right: Semver) -> int:
    return (left.order > right.order) - (left.order < right.order)


OVERLOADS: Final = (
    overload("semver(string): semver", _parsed, costs.text()),
    overload("semver(string, bool): semver", _parsed, costs.text()),
    overload("isSemver(string): bool", _is_semver, costs.text()),
    overload("isSemver(string, bool): bool", _is_semver, costs.text()),
    overload("semver.major(): int", lambda version: version.numbers[0]),
    overload("semver.minor(): int", lambda version: version.numbers[1]),
    overload("semver.patch(): int", lambda version: version.numbers[2]),
    overload("semver.isGreaterThan(semver): bool", lambda left, right: left.order > right.order),
    overload("semver.isLessThan(semver): bool", lambda left, right: left.order < right.order),
    overload("semver.compareTo(semver): int", _compare),
)
