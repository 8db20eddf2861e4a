"""Optional values. `a.?b` and `a[?b]` are the language; these are the functions on what they give."""

from typing import Any, Final

from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import function, overload
from minikube_py.meta.cel.values import ABSENT, Present, equal


def _value(given: Any) -> Any:
    if given is ABSENT:
        raise EvaluationError("optional.none() dereference")
    return given.value


def _of_non_zero(value: Any) -> Any:
    zero = value is None or (hasattr(value, "__len__") and len(value) == 0)
    zero = zero or (value.__class__ in (bool, int, float) and not value)
    zero = zero or equal(getattr(value, "nanos", None), 0)
    return ABSENT if zero else Present(value)


OVERLOADS: Final = (
    function("optional.of(A): optional<A>", Present),
    function("optional.ofNonZeroValue(A): optional<A>", _of_non_zero),
    function("optional.none(): optional<A>", lambda: ABSENT),
    overload("optional<A>.value(): A", _value),
    overload("optional<A>.hasValue(): bool", lambda given: given is not ABSENT),
    overload(
        "list<optional<A>>.unwrapOpt(): list<A>",
        lambda items: [item.value for item in items if item is not ABSENT],
    ),
)
"""`or` and `orValue` evaluate their argument only where it is needed: the language has them."""
