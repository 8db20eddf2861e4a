"""Kubernetes quantities (`500m`, `1.5Gi`, `12e6`): exact parsing and canonical text, as resource.Quantity.

A value is exact (Fraction or int). As in Kubernetes, what is finer than nano is rounded away from zero, and
magnitudes above 2**63-1 are capped. Everything that takes text is cached: the same few quantities recur.
Errors are ValueError with Kubernetes' wording.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

Quantity = str | int | float
"""A quantity as it stands in JSON."""

FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_ERROR = "unable to parse quantity's suffix"
NUMERIC_ERROR = "unable to parse numeric part of quantity"

DECIMAL, BINARY, EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"

_SHAPE = re.compile(r"([+-]?)([0-9.]*)([eEinumkKMGTP]*)([-+]?[0-9]*)", re.ASCII)
_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_DECIMAL_EXPONENTS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL_EXPONENTS.items()}
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_BINARY_POWERS = {suffix: power for power, suffix in enumerate(_BINARY_SUFFIXES) if suffix}
_NANO = 10**9
_MAX = 2**63 - 1
_MAX_EXPONENT = 40  # beyond it the value is capped, or rounds to one nano, anyway


@lru_cache(maxsize=4096, typed=True)
def _parse(value: Quantity) -> tuple[int, str]:
    """The value in nanos and its format."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(FORMAT_ERROR)
    text = value if isinstance(value, str) else repr(value)
    shape = _SHAPE.fullmatch(text.strip())
    if not shape:
        raise ValueError(FORMAT_ERROR)
    sign, number, letters, digits = shape.groups()
    if not number:
        raise ValueError(FORMAT_ERROR)
    parts = _NUMBER.fullmatch(number)
    if not parts or number == ".":
        raise ValueError(NUMERIC_ERROR if number.count(".") > 1 or number == "." else FORMAT_ERROR)
    whole, decimals = parts.group(1), parts.group(2) or ""
    base, exponent, style = _suffix(letters, digits)
    return _nanos(sign, int(whole + decimals), exponent - len(decimals), base), style


def _suffix(letters: str, digits: str) -> tuple[int, int, str]:
    """(factor, decimal exponent, format) of a suffix such as `Mi`, `m` or `e-3`."""
    if letters in ("e", "E") and digits not in ("", "+", "-"):
        exponent = int(digits) if len(digits) < 6 else (-99999 if digits[0] == "-" else 99999)
        return 1, exponent, EXPONENT
    if digits:
        raise ValueError(SUFFIX_ERROR)
    if letters in _BINARY_POWERS:
        return 1024 ** _BINARY_POWERS[letters], 0, BINARY
    if letters in _DECIMAL_EXPONENTS:
        return 1, _DECIMAL_EXPONENTS[letters], DECIMAL
    raise ValueError(SUFFIX_ERROR)


def _nanos(sign: str, mantissa: int, exponent: int, factor: int) -> int:
    """mantissa * 10**exponent * factor in nanos, rounded away from zero and capped."""
    if not mantissa:
        return 0
    exponent += 9
    if exponent > _MAX_EXPONENT:
        nanos = _MAX * _NANO
    elif exponent >= 0:
        nanos = mantissa * 10**exponent * factor
    elif mantissa.bit_length() < -3 * exponent - 64:  # far below one nano: do not build 10**-exponent
        nanos = 1
    else:
        nanos = -(-mantissa * factor // 10**-exponent)
    nanos = min(nanos, _MAX * _NANO)
    return -nanos if sign == "-" else nanos


@lru_cache(maxsize=4096, typed=True)
def parse_quantity(value: Quantity) -> Fraction:
    """The exact value of a quantity as JSON gives it. Errors: ValueError."""
    return Fraction(_parse(value)[0], _NANO)


@lru_cache(maxsize=4096, typed=True)
def int_value(value: Quantity) -> int:
    """The value in whole units, rounded up (away from zero for negatives), as Quantity.Value()."""
    return _scaled(_parse(value)[0], _NANO)


@lru_cache(maxsize=4096, typed=True)
def milli_value(value: Quantity) -> int:
    """The value in thousandths, rounded up, as Quantity.MilliValue(): 500 for `500m`, 2000 for `2`."""
    return _scaled(_parse(value)[0], 10**6)


def _scaled(nanos: int, unit: int) -> int:
    return -(-nanos // unit) if nanos >= 0 else nanos // unit


@lru_cache(maxsize=4096, typed=True)
def canonical(value: Quantity) -> str:
    """The canonical text: no fraction, the greatest suffix that keeps it exact, the format kept.

    `0.5` > `500m`, `1024Mi` > `1Gi`, `1.5Gi` > `1536Mi`, 2 > `2`. Errors: ValueError.
    """
    nanos, style = _parse(value)
    return _format(nanos, style)


def is_quantity(value: Any) -> bool:
    """Whether `value` parses as a quantity."""
    try:
        _parse(value)
    except (ValueError, TypeError):
        return False
    return True


def format_quantity(value: Fraction | int, style: str = DECIMAL) -> str:
    """The canonical text of a number; `style` is DecimalSI, BinarySI or DecimalExponent."""
    nanos = value * _NANO
    whole = _scaled(nanos.numerator, nanos.denominator) if isinstance(nanos, Fraction) else nanos
    return _format(max(-_MAX * _NANO, min(_MAX * _NANO, whole)), style)


def milli_quantity(millis: int) -> str:
    """The canonical text of so many thousandths: `1500m`, or `2` for 2000."""
    return _format(millis * 10**6, DECIMAL)


def _format(nanos: int, style: str) -> str:
    if not nanos:
        return "0"
    whole, rest = divmod(abs(nanos), _NANO)
    sign = "-" if nanos < 0 else ""
    if style == BINARY and not rest and whole >= 1024:
        power = 0
        while power < 6 and whole % 1024 == 0:
            whole //= 1024
            power += 1
        return f"{sign}{whole}{_BINARY_SUFFIXES[power]}"
    mantissa, exponent = abs(nanos), -9
    while exponent < 18 and mantissa % 1000 == 0:
        mantissa //= 1000
        exponent += 3
    if style == EXPONENT:
        return f"{sign}{mantissa}e{exponent}" if exponent else f"{sign}{mantissa}"
    return f"{sign}{mantissa}{_DECIMAL_SUFFIXES[exponent]}"


def add(left: Quantity, right: Quantity) -> str:
    """left + right as canonical text, in the left one's format (the right one's if left is zero)."""
    return _combined(_parse(left), _parse(right), 1)


def sub(left: Quantity, right: Quantity) -> str:
    """left - right as canonical text, in the left one's format (the right one's if left is zero)."""
    return _combined(_parse(left), _parse(right), -1)


def _combined(left: tuple[int, str], right: tuple[int, str], sign: int) -> str:
    return _format(left[0] + sign * right[0], left[1] if left[0] else right[1])
