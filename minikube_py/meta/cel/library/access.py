"""Signatures of what the planner runs itself (indices, optional access, laziness): for the type check only."""

from typing import Any, Final, NoReturn

from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import overload


def _planned(*given: Any) -> NoReturn:
    raise EvaluationError("no such overload")


OVERLOADS: Final = (
    overload("_[_](list<A>, int): A", _planned),
    overload("_[_](map<A, B>, A): B", _planned),
    overload("_[_](optional<list<A>>, int): optional<A>", _planned),
    overload("_[_](optional<map<A, B>>, A): optional<B>", _planned),
    overload("_[?_](list<A>, int): optional<A>", _planned),
    overload("_[?_](map<A, B>, A): optional<B>", _planned),
    overload("_[?_](optional<list<A>>, int): optional<A>", _planned),
    overload("_[?_](optional<map<A, B>>, A): optional<B>", _planned),
    overload("_&&_(bool, bool): bool", _planned),
    overload("_||_(bool, bool): bool", _planned),
    overload("_?_:_(bool, A, A): A", _planned),
    overload("@not_strictly_false(bool): bool", _planned),
    overload("@append(list<A>, A): list<A>", _planned),
    overload("@insert(map<A, B>, A, B): map<A, B>", _planned),
    overload("@insert(map<A, B>, map<A, B>): map<A, B>", _planned),
    overload("optional<A>.or(optional<A>): optional<A>", _planned),
    overload("optional<A>.orValue(A): A", _planned),
)
