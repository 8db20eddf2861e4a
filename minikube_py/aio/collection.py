"""Collection: how Python's garbage collector is kept from holding up the event loop.

A collection stops everything for as long as it takes to look at every container it covers, and the oldest
generation of a cluster of fifty thousand pods is millions of dicts and lists, hardly any of which is garbage:
objects are trees, freed by their reference counts. So what survives a collection of the oldest one that took
long is never looked at again.
Limits: a cycle that dies after it was set aside so is not freed. Those are connections and tasks that were open
at that moment, a few for each million objects made.
"""

import gc
import time
from typing import Final

YOUNG: Final = 50_000
"""Containers that are made before the youngest generation is collected: some milliseconds."""
MIDDLE: Final = 20
"""Collections of the youngest generation before the middle one is collected with it."""
OLD: Final = 50
"""Collections of the middle generation before the oldest one may be, once it has grown by a quarter."""
LONG: Final = 0.03
"""Seconds of CPU."""
MANY: Final = 600_000
"""Containers among which the garbage of a start is not looked for: some tenths of a second."""
_OLDEST = 2


class Settled:
    """Follows the collections of a process from `begin` to `end`; `longest` is the longest so far, in seconds
    of CPU. Survivors of one of the oldest generation are set aside where it took longer than `long`."""

    def __init__(self, long: float = LONG) -> None:
        self.longest = 0.0
        self._long = long
        self._began = 0.0

    def begin(self) -> None:
        """What was made until now stays for good, and is kept out of every later collection. Its garbage is
        collected first, but where a store of many objects was loaded: that would hold up everything for longer
        than the garbage, which is as much for a small one, is worth."""
        if gc.get_count()[0] < MANY:
            gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        gc.callbacks.append(self.note)
        gc.enable()

    def end(self) -> None:
        """Follow them no longer."""
        gc.callbacks.remove(self.note)

    def note(self, phase: str, about: dict[str, int]) -> None:
        """A collection begins or ends."""
        if phase == "start":
            self._began = time.thread_time()
            return
        taken = time.thread_time() - self._began
        self.longest = max(self.longest, taken)
        if about["generation"] == _OLDEST and taken > self._long:
            gc.freeze()
