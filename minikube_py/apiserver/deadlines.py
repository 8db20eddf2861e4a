"""Deadlines: a request that is to be answered at once is ended when it takes too long (HTTP 504).

All have the same longest time, which one timer watches over for all; only a request that asks for less by
`?timeout=` has a timer of its own. Watches and streams have none.
"""

import asyncio
import re

from minikube_py.apiserver.call import Call
from minikube_py.apiserver.request import Query
from minikube_py.errors import BadRequest, Timeout

MAX_SECONDS = 60.0
SWEEP_SECONDS = 1.0
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds of a duration as Go writes them: `1m30s`, `500ms`. Errors: ValueError."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0.0
    parts = _PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        plain = re.fullmatch(r"(\d+(\.\d*)?|\.\d+)", unsigned) is not None
        raise ValueError(f'time: {"missing unit in" if plain else "invalid"} duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts) * (-1 if text[0] == "-" else 1)


def asked_seconds(query: Query) -> float:
    """The seconds that a request gives itself, the longest time where it names none. Errors: BadRequest."""
    values = query.get("timeout")
    if not values or not values[0]:
        return MAX_SECONDS
    try:
        seconds = parse_duration(values[0])
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error
    return seconds if 0 < seconds < MAX_SECONDS else MAX_SECONDS


def too_late() -> Timeout:
    """What a request is answered that took too long."""
    return Timeout("Timeout: request did not complete within the allotted timeout", details={})


class Deadlines:
    """The requests that are being answered, and until when each may be."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Call, asyncio.Task[object] | None, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Call) -> None:
        """A request begins. Errors: BadRequest for a timeout that cannot be read."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        seconds = asked_seconds(call.query) if "timeout" in call.query else MAX_SECONDS
        if seconds < MAX_SECONDS:
            loop.call_later(seconds, self._expire, id(call), call)
        self._running[id(call)] = (call, task, loop.time() + MAX_SECONDS)
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)

    def end(self, call: Call) -> None:
        """A request was answered."""
        self._running.pop(id(call), None)

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        for key, (call, _, until) in tuple(self._running.items()):
            if until > now:
                break  # the others began later
            self._expire(key, call)
        if self._running:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)

    def _expire(self, key: int, call: Call) -> None:
        running = self._running.get(key)
        if running is None or running[0] is not call or running[1] is None:
            return
        call.expired = True
        running[1].cancel()
