"""Conversions between types, `size` and `type`. Source: the CEL language definition."""

from base64 import b64decode
from math import inf, isfinite
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import function, overload
from minikube_py.meta.cel.library.times import parse_duration, parse_timestamp
from minikube_py.meta.cel.values import (
    INT_MAX,
    INT_MIN,
    NANO,
    UINT_MAX,
    Duration,
    Timestamp,
    TypeValue,
    UInt,
    type_name,
)

_BOOLS: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        return _parsed_int(value)
    if isinstance(value, float):
        if not (isfinite(value) and -(2.0**63) < value < 2.0**63):
            raise EvaluationError("integer overflow")
        return int(value)
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("integer overflow")
    return int(value)


def _parsed_int(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise EvaluationError(f"strconv.ParseInt: parsing {_quoted(text)}: invalid syntax")
    if len(digits) > 30 or not INT_MIN <= int(text) <= INT_MAX:
        raise EvaluationError(f"strconv.ParseInt: parsing {_quoted(text)}: value out of range")
    return int(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _to_uint(value: Any) -> UInt:
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()):
            raise EvaluationError(f"strconv.ParseUint: parsing {_quoted(value)}: invalid syntax")
        if len(value) > 30 or int(value) > UINT_MAX:
            raise EvaluationError(f"strconv.ParseUint: parsing {_quoted(value)}: value out of range")
        return UInt(value)
    if isinstance(value, float) and not (isfinite(value) and 0 <= value < 2.0**64):
        raise EvaluationError("unsigned integer overflow")
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return UInt(int(value))


def _to_double(value: Any) -> float:
    if isinstance(value, str):
        try:
            if "_" in value or value != value.strip():
                raise ValueError
            number = float(value)
        except ValueError:
            raise EvaluationError(f"strconv.ParseFloat: parsing {_quoted(value)}: invalid syntax") from None
        if number in (inf, -inf) and value.lstrip("+-")[:1].isdigit():
            raise EvaluationError(f"strconv.ParseFloat: parsing {_quoted(value)}: value out of range")
        return number
    return float(value)


def text_of(value: Any) -> str:
    """A scalar as `string()` shows it."""
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is float:
        return double_text(value)
    if value.__class__ is bytes:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
    return str(value)


def double_text(value: float) -> str:
    """A double as Go prints it: `1`, `1.5`, `1e+21`."""
    if not isfinite(value):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    shown = repr(value)
    mantissa, mark, exponent = shown.partition("e")
    if mark:
        sign = "-" if exponent[0] == "-" else "+"
        return f"{mantissa.removesuffix('.0')}e{sign}{exponent.lstrip('+-').zfill(2)}"
    return shown.removesuffix(".0")


def _to_bool(value: str) -> bool:
    if value not in _BOOLS:
        raise EvaluationError(f"strconv.ParseBool: parsing {_quoted(value)}: invalid syntax")
    return _BOOLS[value]


def _same(value: Any) -> Any:
    return value


def _timestamp_of(seconds: int) -> Timestamp:
    return Timestamp(seconds * NANO)


def _seconds(value: Timestamp | Duration) -> int:
    return value.nanos // NANO


def _type_of(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


def decoded(text: str) -> bytes:
    """The bytes of base64. Errors: EvaluationError."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise EvaluationError("illegal base64 data") from None


OVERLOADS: Final = (
    *(overload(f"int({kind}): int", _to_int) for kind in ("int", "uint", "double", "string")),
    overload("int(timestamp): int", _seconds),
    overload("int(duration): int", _seconds),
    *(overload(f"uint({kind}): uint", _to_uint) for kind in ("uint", "int", "double", "string")),
    *(overload(f"double({kind}): double", _to_double) for kind in ("double", "int", "uint", "string")),
    *(
        overload(f"string({kind}): string", text_of)
        for kind in ("string", "bool", "int", "uint", "double", "timestamp", "duration")
    ),
    overload("string(bytes): string", text_of, costs.text()),
    overload("bytes(bytes): bytes", _same),
    overload("bytes(string): bytes", str.encode, costs.text()),
    overload("bool(bool): bool", _same),
    overload("bool(string): bool", _to_bool),
    overload("timestamp(timestamp): timestamp", _same),
    overload("timestamp(string): timestamp", parse_timestamp),
    overload("timestamp(int): timestamp", _timestamp_of),
    overload("duration(duration): duration", _same),
    overload("duration(string): duration", parse_duration),
    overload("duration(int): duration", lambda nanos: Duration(nanos)),
    overload("dyn(A): dyn", _same),
    overload("type(A): type<A>", _type_of),
    *(
        made
        for kind in ("string", "bytes", "list<A>", "map<A, B>")
        for made in (function(f"size({kind}): int", len), overload(f"{kind}.size(): int", len))
    ),
)
