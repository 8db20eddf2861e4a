"""`"%s has %d".format([name, count])`: cel-go's string formatting."""

import re
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.values import LISTS, NUMBERS, Duration, Timestamp, TypeValue, UInt, type_name

_CLAUSE: Final = re.compile(r"%(?:(%)|(?:\.(\d+))?(.))|%$", re.DOTALL)
_DEFAULT_PRECISION: Final = 6
_MAX_PRECISION: Final = 1000


def formatted(text: str, arguments: list[Any]) -> str:
    """`text` with its clauses filled in. Errors: EvaluationError."""
    left = list(arguments)

    def fill(match: re.Match[str]) -> str:
        if match.group() == "%":
            raise EvaluationError("could not parse formatting clause: unexpected end of string")
        if match[1]:
            return "%"
        if match[3] not in _CLAUSES:
            raise EvaluationError(
                f'could not parse formatting clause: unrecognized formatting clause "{match[3]}"'
            )
        if not left:
            raise EvaluationError(f"index {len(arguments)} out of range")
        precision = _precision(match[2])
        return str(_CLAUSES[match[3]](left.pop(0), precision))

    return _CLAUSE.sub(fill, text)


def _precision(digits: str | None) -> int:
    if digits is None:
        return _DEFAULT_PRECISION
    if len(digits) > len(str(_MAX_PRECISION)) or int(digits) > _MAX_PRECISION:
        raise EvaluationError("could not parse formatting clause: precision is too large")
    return int(digits)


def _double(value: Any) -> str:
    if isfinite(value):
        exponent = repr(value)
        return exponent.removesuffix(".0") if "e" not in exponent else format(Decimal(value), "f")
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")


def _string(value: Any, precision: int = 0) -> str:
    kind = value.__class__
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if kind is float:
        return _double(value)
    if kind is bytes:
        return str(value, "utf-8", "replace")
    if kind in (int, UInt, Timestamp, Duration):
        return str(value)
    if kind is TypeValue:
        return str(value.name)
    if kind in LISTS:
        return "[" + ", ".join(_string(item) for item in value) + "]"
    if kind is dict:
        return "{" + ", ".join(sorted(f"{_string(key)}: {_string(item)}" for key, item in value.items())) + "}"
    raise _refused(
        "string", "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps", value
    )


def _refused(clause: str, allowed: str, value: Any) -> EvaluationError:
    return EvaluationError(
        f"error during formatting: {clause} clause can only be used on {allowed}, was given {type_name(value)}"
    )


def _decimal(value: Any, precision: int) -> str:
    if value.__class__ in (int, UInt):
        return str(int(value))
    if value.__class__ is float and not isfinite(value):
        return _double(value)
    raise _refused("decimal", "integers", value)


def _fixed(value: Any, precision: int) -> str:
    if value.__class__ not in NUMBERS:
        raise _refused("fixed-point", "doubles", value)
    if not isfinite(value):
        return _double(float(value))
    return format(Decimal(value), f".{precision}f")


def _scientific(value: Any, precision: int) -> str:
    if value.__class__ not in NUMBERS:
        raise _refused("scientific", "doubles", value)
    return format(float(value), f".{precision}e") if isfinite(value) else _double(float(value))


def _based(letter: str, clause: str) -> Any:
    def run(value: Any, precision: int) -> str:
        if value.__class__ in (int, UInt) or (letter == "b" and value.__class__ is bool):
            return format(int(value), letter)
        if letter in "xX" and value.__class__ in (str, bytes):
            raw: Any = value.encode() if value.__class__ is str else value
            shown = str(raw.hex())
            return shown.upper() if letter == "X" else shown
        raise _refused(clause, "integers", value)

    return run


_CLAUSES: Final[dict[str, Any]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _based("b", "binary"),
    "x": _based("x", "hex"),
    "X": _based("X", "hex"),
    "o": _based("o", "octal"),
}
