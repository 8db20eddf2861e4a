"""Strangers: requests without valid credentials are refused at once as long as they are few.

A flood of them is answered at RATE a second, each after LONGEST_SECONDS at most: clients that wait for their
answers ask no faster than they get them, and what is left of the event loop is everybody else's.
"""

RATE = 200.0
"""Refusals a second that are told without delay."""
BURST = 400.0
"""So many more at a time, after a quiet while."""
LONGEST_SECONDS = 5.0


class Strangers:
    """When to tell the next refusal."""

    def __init__(self) -> None:
        self._next = 0.0

    def delay(self, now: float) -> float:
        """Seconds until a refusal is to be told that is due at `now` (monotonic seconds)."""
        due = max(self._next, now - BURST / RATE)
        self._next = min(due + 1 / RATE, now + LONGEST_SECONDS)
        return max(due - now, 0.0)
