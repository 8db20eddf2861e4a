"""Deadlines: a request that is to be answered at once is ended when it takes too long (HTTP 504).

All have the same longest time, which one timer watches over for all; only a request that asks for less by
`?timeout=` has a timer of its own. Watches and streams have none.
"""

import asyncio
import re
import time

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
        self._running: dict[Call, asyncio.Task[object] | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Call) -> None:
        """A request begins. Errors: BadRequest for a timeout that cannot be read."""
        if "timeout" in call.query:
            seconds = asked_seconds(call.query)
            if seconds < MAX_SECONDS:
                asyncio.get_running_loop().call_later(seconds, self._expire, call)
        self._running[call] = asyncio.current_task()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def end(self, call: Call) -> None:
        """A request was answered."""
        self._running.pop(call, None)

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        began_before = time.perf_counter() - MAX_SECONDS
        for call in tuple(self._running):
            if call.began > began_before:
                break  # the others began later
            self._expire(call)
        if self._running:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _expire(self, call: Call) -> None:
        task = self._running.get(call)
        if task is not None:
            call.expired = True
            task.cancel()
