"""What the walks over schemas share: the types of a node, comparing with enums, and numbers in Go's words."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from minikube_py.meta.patch.merge import identical

Schema = Mapping[str, Any]


def types_of(schema: Schema) -> tuple[str, ...]:
    """The JSON types that a value may be of; empty for any."""
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


SIMPLE = frozenset(
    (
        *("type", "description", "title", "format", "enum", "nullable", "example", "externalDocs"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    )
)
"""What a scalar's schema may say that only values are checked against."""
SCALARS = frozenset(("string", "integer", "boolean", "number"))


def is_simple(schema: Schema) -> bool:
    """Whether a schema is that of a scalar about which there is nothing more to know: most are."""
    return schema.get("type") in SCALARS and schema.keys() <= SIMPLE


def mentions(schema: Schema, keywords: Iterable[str]) -> frozenset[str]:
    """Those of `keywords` that stand somewhere in a schema, perhaps as mere texts."""
    text = orjson.dumps(schema)
    return frozenset(word for word in keywords if b'"%s"' % word.encode() in text)


def is_one_of(value: Any, allowed: Sequence[Any]) -> bool:
    """Whether a value is in an enum: numbers by their value, nothing equal to a truth value but itself."""
    if value.__class__ in (int, float):
        return any(one.__class__ in (int, float) and one == value for one in allowed)
    return any(identical(value, one) for one in allowed)


def is_multiple(value: float, factor: float) -> bool:
    """Whether a number is a multiple of another, as upstream computes it."""
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    quotient = value / factor
    return quotient == int(quotient)


def in_range(schema: Schema, value: float) -> bool:
    """Whether a number is one that the schema's format can hold."""
    limit = _LIMITS.get((schema.get("type"), schema.get("format")))
    return limit is None or -limit <= value < limit


_LIMITS: Mapping[tuple[Any, Any], float] = {
    ("integer", "int32"): 1 << 31,
    ("number", "float"): 2.0**128,
    ("number", "float32"): 2.0**128,
}


def go_number(number: float) -> str:
    """A number as Go prints it with %v."""
    if isinstance(number, int):
        return str(number)
    _, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    power = len(digits) + int(exponent) - 1
    if number and (power < -4 or power >= 6):
        text = "".join(map(str, digits))
        mantissa = text[0] + ("." + text[1:] if text[1:] else "")
        return f"{'-' if number < 0 else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return str(int(number)) if number.is_integer() else repr(number)
