"""What calls cost, in Kubernetes' units. A step is 1; text is traversed at a tenth of a step a character.

Source: cel-go's runtime costs; Kubernetes' costs of its libraries.
"""

from math import ceil
from typing import Any, Final

from minikube_py.meta.cel.functions import Cost

TRAVERSAL: Final = 0.1
REGEX: Final = 0.25
CHECK: Final = 350_000
LIST_COST: Final = 10
MAP_COST: Final = 30


def size(value: Any) -> int:
    """The length of text, bytes, lists and maps; 1 for all else."""
    if value.__class__ in (int, bool, float) or not hasattr(value, "__len__"):
        return 1
    return len(value)


def text(place: int = 0, factor: int = 1) -> Cost:
    """A traversal of the argument at `place`."""

    def cost(args: tuple[Any, ...], result: Any) -> int:
        return ceil(size(args[place]) * factor * TRAVERSAL)

    return cost


def both(args: tuple[Any, ...], result: Any) -> int:
    """A traversal of both arguments (a concatenation)."""
    return ceil((size(args[0]) + size(args[1])) * TRAVERSAL)


def shorter(args: tuple[Any, ...], result: Any) -> int:
    """A traversal of the shorter argument (a comparison)."""
    return ceil(min(size(args[0]), size(args[1])) * TRAVERSAL)


def product(args: tuple[Any, ...], result: Any) -> int:
    """A search for one text in another."""
    return ceil(size(args[0]) * TRAVERSAL) * ceil(size(args[1]) * TRAVERSAL)


def pattern(args: tuple[Any, ...], result: Any) -> int:
    """A match of a text by a regular expression."""
    return ceil((1 + size(args[0])) * TRAVERSAL) * ceil(size(args[1]) * REGEX)


def elements(place: int = 0) -> Cost:
    """A step for each element of the argument at `place`."""

    def cost(args: tuple[Any, ...], result: Any) -> int:
        return size(args[place])

    return cost


def pairs(args: tuple[Any, ...], result: Any) -> int:
    """A comparison of each element with each of another list."""
    return 1 + size(args[0]) * size(args[1])


def traversed(args: tuple[Any, ...], result: Any) -> int:
    """A step for each element, and a traversal of those that are text."""
    found = args[0]
    if found.__class__ is str:
        return ceil(len(found) * TRAVERSAL)
    return sum(1 + ceil(len(one) * TRAVERSAL) if one.__class__ in (str, bytes) else 1 for one in found)


def made(args: tuple[Any, ...], result: Any) -> int:
    """A traversal of the text that is made, twice."""
    return ceil(size(result) * 2 * TRAVERSAL)


def check(args: tuple[Any, ...], result: Any) -> int:
    """An authorization check."""
    return CHECK


def containment(args: tuple[Any, ...], result: Any) -> int:
    """A comparison of addresses; one given as text is parsed first."""
    cost = ceil(2 * len(args[0].network_address.packed) * TRAVERSAL)
    return cost + (ceil(len(args[1]) * TRAVERSAL) if args[1].__class__ is str else 0)
