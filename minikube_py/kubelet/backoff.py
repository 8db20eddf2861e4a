"""Backoff per key: a delay that doubles with each failure and is forgotten after a long quiet time."""

MANY = 1000  # keys from which on those at rest are forgotten


class Backoff:
    """After the n-th `next` of a key its delay is initial * 2^(n-1), at most `limit`; a key at rest for twice
    the limit begins anew. Times are seconds of one clock."""

    def __init__(self, initial: float, limit: float) -> None:
        self._initial, self._limit = initial, limit
        self._delays: dict[str, tuple[float, float]] = {}  # delay, when it was set

    def next(self, key: str, now: float) -> float:
        """Note one more failure at `now`; the delay that follows it."""
        delay, since = self._delays.get(key, (0.0, now))
        fresh = not delay or now - since > 2 * self._limit
        delay = self._initial if fresh else min(self._limit, 2 * delay)
        self._delays[key] = (delay, now)
        if len(self._delays) > MANY:
            rested = [key for key, (_, since) in self._delays.items() if now - since > 2 * self._limit]
            for key in rested:
                del self._delays[key]
        return delay

    def delay(self, key: str, now: float) -> float:
        """The delay in force for `key`, 0 where there is none."""
        delay, since = self._delays.get(key, (0.0, now))
        return 0.0 if now - since > 2 * self._limit else delay

    def until(self, key: str) -> float:
        """The end of the delay set last, 0 where there is none."""
        delay, since = self._delays.get(key, (0.0, 0.0))
        return since + delay

    def forget(self, key: str) -> None:
        self._delays.pop(key, None)
