"""What type may stand where another is expected, and what type variables then stand for.

Source: the CEL language definition, gradual type checking; cel-go's rules of assignment.
"""

from collections.abc import Sequence
from typing import Final

from minikube_py.meta.cel import types
from minikube_py.meta.cel.types import NULLABLE, CelType

_WILD: Final = frozenset(("dyn", "error"))


class Substitution:
    """Type variables and the types they stand for."""

    def __init__(self) -> None:
        self._bound: dict[str, CelType] = {}
        self._fresh = 0

    def fresh(self) -> CelType:
        """A new type variable."""
        self._fresh += 1
        return types.param(f"_var{self._fresh}")

    def instance(self, declared: Sequence[CelType]) -> list[CelType]:
        """The types of a signature, its variables renamed so that no other signature has them."""
        renamed: dict[str, CelType] = {}

        def rename(one: CelType) -> CelType:
            if one.kind == "param":
                if one.name not in renamed:
                    renamed[one.name] = self.fresh()
                return renamed[one.name]
            return one if not one.params else CelType(one.kind, tuple(map(rename, one.params)), one.name)

        return [rename(one) for one in declared]

    def all_assignable(self, wanted: Sequence[CelType], given: Sequence[CelType]) -> bool:
        """Whether each given type may stand for the wanted one; if so its variables are bound."""
        before = dict(self._bound)
        if all(self._assignable(one, other) for one, other in zip(wanted, given, strict=True)):
            return True
        self._bound = before
        return False

    def assignable(self, wanted: CelType, given: CelType) -> bool:
        """Whether `given` may stand for `wanted`."""
        return self.all_assignable((wanted,), (given,))

    def _assignable(self, wanted: CelType, given: CelType) -> bool:
        if given.kind == "param":
            valid, known = self._substitutes(wanted, given)
            if valid or known:
                return valid
        if wanted.kind == "param":
            return self._substitutes(given, wanted)[0]
        if wanted.kind in _WILD or given.kind in _WILD:
            return True
        if wanted.kind == "null" or given.kind == "null":
            return wanted.kind in NULLABLE and given.kind in NULLABLE
        if wanted.kind == "type":
            return given.kind == "type"
        if wanted.kind in ("list", "map", "optional", "opaque"):
            same = wanted.kind == given.kind and wanted.name == given.name
            pairs = zip(wanted.params, given.params, strict=False)
            return same and all(self._assignable(one, other) for one, other in pairs)
        return wanted == given

    def _substitutes(self, one: CelType, variable: CelType) -> tuple[bool, bool]:
        """Whether `one` may be what a variable stands for; whether that was known."""
        if one == variable:
            return True, True
        known = self._bound.get(variable.name)
        if known is not None:
            if one == known:
                return True, True
            if self._assignable(one, known):
                general = most_general(one, known)
                if not self._refers(general, variable):
                    self._bound[variable.name] = general
                return True, True
            return False, True
        if not self._refers(one, variable):
            self._bound[variable.name] = one
            return True, False
        return False, False

    def _refers(self, one: CelType, variable: CelType) -> bool:
        if one.kind == "param":
            if one.name == variable.name:
                return True
            known = self._bound.get(one.name)
            return known is not None and self._refers(known, variable)
        return any(self._refers(inner, variable) for inner in one.params)

    def resolved(self, one: CelType, *, final: bool = False) -> CelType:
        """The type with its variables replaced; at the end, free ones are dyn."""
        if one.kind == "param":
            known = self._bound.get(one.name)
            if known is None:
                return types.DYN if final else one
            return self.resolved(known, final=final)
        if not one.params:
            return one
        params = tuple(self.resolved(inner, final=final) for inner in one.params)
        return one if params == one.params else CelType(one.kind, params, one.name, source=one.source)


def most_general(one: CelType, other: CelType) -> CelType:
    """The one of two types that the other may stand for."""
    return one if _less_specific(one, other) else other


def _less_specific(one: CelType, other: CelType) -> bool:
    if one.kind in _WILD or one.kind == "param":
        return True
    if other.kind in _WILD or other.kind == "param" or one.kind != other.kind:
        return False
    if one.params:
        return all(_less_specific(a, b) for a, b in zip(one.params, other.params, strict=False))
    return one == other
