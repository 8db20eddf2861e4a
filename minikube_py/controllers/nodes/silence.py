"""Silence: which node has not been heard of for longer than its grace, at the cost of one timer for all.

The nodes are kept in the order in which they were last heard of, and the timer is that of the first: as long as
every node is heard of in time, nothing else is done however many they are.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from minikube_py.aio.clock import Clock


class Silence:
    """Calls `tell` with the name of a node that was heard of once, and not again for `grace` seconds."""

    def __init__(self, clock: Clock, grace: float, tell: Callable[[str], None]) -> None:
        self._clock, self._grace, self._tell = clock, grace, tell
        self._heard: OrderedDict[str, float] = OrderedDict()
        self._any = asyncio.Event()

    def heard(self, name: str) -> None:
        """There is a sign of life of the node, now."""
        self._heard.pop(name, None)
        self._heard[name] = self._clock.monotonic()
        self._any.set()

    def awaits(self, name: str) -> bool:
        """Whether it will tell of the node, if that is not heard of."""
        return name in self._heard

    def forget(self, name: str) -> None:
        """The node is gone."""
        self._heard.pop(name, None)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if not self._heard:
                self._any.clear()
                await self._any.wait()
                continue
            name, heard = next(iter(self._heard.items()))
            left = heard + self._grace - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
                continue
            del self._heard[name]
            self._tell(name)
