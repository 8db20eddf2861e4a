"""Turns: long work on the event loop that lets others have their turn.

    turns = Turns()
    for some in parts:  # each of which takes little
        ...
        await turns.pause()

A pause costs next to nothing until the work has held the loop for TURN_SECONDS. `Unmet` gives the
parts where what is worked on changes meanwhile.
"""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

TURN_SECONDS: Final = 0.005
"""For how long work goes on before others have their turn."""
AT_ONCE: Final = 20
"""What is met between two looks at the time."""


class Turns:
    """The turns of one piece of work, which begins now."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + TURN_SECONDS

    async def pause(self) -> None:
        """Let the loop turn where it is time."""
        if self._loop.time() >= self._until:
            await asyncio.sleep(0)
            self._until = self._loop.time() + TURN_SECONDS


class Unmet(Generic[K, V]):
    """What there was at the beginning, as far as somebody who begins has still to meet it: `left`, by key."""

    def __init__(self, known: Mapping[K, V]) -> None:
        self.left = dict(known)
        self._keys = iter(tuple(self.left))

    def took(self, key: K) -> bool:
        """Whether it was still to be met: it is not any more."""
        return self.left.pop(key, None) is not None

    def some(self) -> list[tuple[K, V]]:
        """The next few."""
        keys = islice(self._keys, AT_ONCE)
        return [(key, one) for key in keys if (one := self.left.pop(key, None)) is not None]
