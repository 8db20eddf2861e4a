"""Quantities (`500m`, `1Gi`): Kubernetes' `quantity` library."""

from fractions import Fraction
from typing import Final

from minikube_py.meta import quantity
from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import overload
from minikube_py.meta.cel.types import QUANTITY
from minikube_py.meta.cel.values import INT_MAX, INT_MIN


class Quantity:
    """An exact amount."""

    TYPE = QUANTITY.name
    __slots__ = ("text", "value")

    def __init__(self, value: Fraction, text: str) -> None:
        self.value = value
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return self.text


def _parsed(text: str) -> Quantity:
    try:
        return Quantity(quantity.parse_quantity(text), quantity.canonical(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    return quantity.is_quantity(text)


def _is_integer(amount: Quantity) -> bool:
    return amount.value.denominator == 1 and INT_MIN <= amount.value <= INT_MAX


def _as_integer(amount: Quantity) -> int:
    if not _is_integer(amount):
        raise EvaluationError("cannot convert value to integer")
    return int(amount.value)


def _compare(left: Quantity, right: Quantity) -> int:
    return (left.value > right.value) - (left.value < right.value)


def _whole(value: int) -> Quantity:
    return Quantity(Fraction(value), quantity.canonical(value))


def _add(left: Quantity, right: Quantity) -> Quantity:
    return Quantity(left.value + right.value, quantity.add(left.text, right.text))


def _sub(left: Quantity, right: Quantity) -> Quantity:
    return Quantity(left.value - right.value, quantity.sub(left.text, right.text))


OVERLOADS: Final = (
    overload("quantity(string): quantity", _parsed, costs.text()),
    overload("isQuantity(string): bool", _is_quantity, costs.text()),
    overload("quantity.sign(): int", lambda amount: (amount.value > 0) - (amount.value < 0)),
    overload("quantity.isInteger(): bool", _is_integer),
    overload("quantity.asInteger(): int", _as_integer),
    overload("quantity.asApproximateFloat(): double", lambda amount: float(amount.value)),
    overload("quantity.isGreaterThan(quantity): bool", lambda left, right: left.value > right.value),
    overload("quantity.isLessThan(quantity): bool", lambda left, right: left.value < right.value),
    overload("quantity.compareTo(quantity): int", _compare),
    overload("quantity.add(quantity): quantity", _add),
    overload("quantity.add(int): quantity", lambda left, right: _add(left, _whole(right))),
    overload("quantity.sub(quantity): quantity", _sub),
    overload("quantity.sub(int): quantity", lambda left, right: _sub(left, _whole(right))),
)
