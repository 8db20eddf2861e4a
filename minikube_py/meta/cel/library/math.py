"""Numbers: cel-go's math extension."""

import math as python
from itertools import product
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import Overload, function
from minikube_py.meta.cel.library.operators import signed
from minikube_py.meta.cel.values import NUMBERS


def _best(name: str, *, greatest: bool) -> Any:
    def run(*given: Any) -> Any:
        values = given[0] if given[0].__class__ is list else given
        if not values:
            raise EvaluationError(f"{name} must not be called with an empty list")
        if any(value.__class__ not in NUMBERS for value in values):
            raise EvaluationError("no such overload")
        return max(values) if greatest else min(values)

    return run


def _extremes() -> list[Overload]:
    found = []
    for name, greatest in (("math.greatest", True), ("math.least", False)):
        run = _best(name, greatest=greatest)
        for kind in ("int", "uint", "double"):
            found.append(function(f"{name}({kind}): {kind}", run))
            found.append(function(f"{name}(list<{kind}>): {kind}", run, costs.elements()))
        for left, right in product(("int", "uint", "double"), repeat=2):
            found.append(function(f"{name}({left}, {right}): {left if left == right else 'dyn'}", run))
        found += [function(f"{name}({', '.join(['dyn'] * count)}): dyn", run) for count in (3, 4, 5, 6)]
    return found


def _round(value: float) -> float:
    """Halves go away from zero."""
    if not python.isfinite(value):
        return value
    return python.copysign(python.floor(abs(value) + 0.5), value)


def _whole(run: Any) -> Any:
    return lambda value: float(run(value)) if python.isfinite(value) else value


def _sign(value: Any) -> Any:
    kind = value.__class__
    return value if kind is float and python.isnan(value) else kind((value > 0) - (value < 0))


def _absolute(value: Any) -> Any:
    return signed(abs(value)) if value.__class__ is int else value.__class__(abs(value))


OVERLOADS: Final = (
    *_extremes(),
    function("math.ceil(double): double", _whole(python.ceil)),
    function("math.floor(double): double", _whole(python.floor)),
    function("math.round(double): double", _round),
    function("math.trunc(double): double", _whole(python.trunc)),
    *(function(f"math.abs({kind}): {kind}", _absolute) for kind in ("int", "uint", "double")),
    *(function(f"math.sign({kind}): {kind}", _sign) for kind in ("int", "uint", "double")),
    function("math.isNaN(double): bool", python.isnan),
    function("math.isInf(double): bool", python.isinf),
    function("math.isFinite(double): bool", python.isfinite),
)
