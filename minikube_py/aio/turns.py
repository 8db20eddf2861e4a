"""Turns: long work on the event loop that lets others have their turn.

    turns = Turns()
    for some in parts:  # each of which takes little
        ...
        await turns.pause()

A pause costs next to nothing until the work has held the loop for TURN_SECONDS.
"""

import asyncio
from typing import Final

TURN_SECONDS: Final = 0.005
"""For how long work goes on before others have their turn."""


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
