"""Remembering what a pure function of a text has found, for short texts only.

What clients send is remembered, and they choose how long it is: a cache whose keys have no longest length can
be made to hold any amount of memory.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")
LONGEST = 512
"""Characters of a text that is remembered."""


def remembered(size: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Decorate a function of one text: the results for the last `size` short ones are kept."""

    def decorate(found_by: Callable[[str], T]) -> Callable[[str], T]:
        kept = lru_cache(maxsize=size)(found_by)

        @wraps(found_by)
        def found(text: str) -> T:
            return kept(text) if len(text) <= LONGEST else found_by(text)

        return found

    return decorate
