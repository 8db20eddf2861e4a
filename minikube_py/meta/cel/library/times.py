"""Timestamps and durations: their text, as RFC 3339 and Go write it, and their parts in any time zone."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import Overload, overload
from minikube_py.meta.cel.values import NANO, Duration, Timestamp

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS: Final = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": NANO,
    "m": 60 * NANO,
    "h": 3600 * NANO,
}
_OFFSET: Final = re.compile(r"([+-]?)(\d\d?):(\d\d)", re.ASCII)


def parse_timestamp(text: str) -> Timestamp:
    """An RFC 3339 time, to the nanosecond. Errors: EvaluationError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise _unparsable(text)
    fraction = (match[7] or "").ljust(9, "0")[:9]
    try:
        moment = datetime(*(int(match[place]) for place in range(1, 7)), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        raise _unparsable(text) from None
    if match[9]:
        offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
        seconds = (moment - _EPOCH - (offset if match[9] == "+" else -offset)) // timedelta(seconds=1)
    else:
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return Timestamp(seconds * NANO + int(fraction))


def _unparsable(text: str) -> EvaluationError:
    layout = "2006-01-02T15:04:05Z07:00"
    return EvaluationError(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')


def parse_date(text: str) -> Timestamp:
    """A date, at midnight UTC. Errors: EvaluationError."""
    return parse_timestamp(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> Duration:
    """A duration as Go writes it: `1h30m`, `-1.5s`. Errors: EvaluationError."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return Duration(0)
    nanos, place = 0, 0
    while place < len(rest):
        match = _PART.match(rest, place)
        if match is None or not (match[1] or match[2]):
            break
        unit, decimals = _UNITS[match[3]], match[2] or ""
        nanos += int(match[1] or 0) * unit + int(decimals or 0) * unit // 10 ** len(decimals)
        place = match.end()
    if place < len(rest) or not rest:
        missing = bool(rest) and rest[place:].replace(".", "").isdigit()
        fault = f'missing unit in duration "{text}"' if missing else f'invalid duration "{text}"'
        raise EvaluationError(f"time: {fault}")
    return Duration(-nanos if text[0] == "-" else nanos)


def _zone(name: str) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset < timedelta(hours=24):
            return timezone(-offset if match[1] == "-" else offset)
    try:
        return UTC if name in ("", "UTC") else ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        raise EvaluationError(f"unknown time zone {name}") from None
    except KeyError:
        raise EvaluationError(f"unknown time zone {name}") from None


def _part(read: Callable[[datetime, Timestamp], int]) -> Callable[..., int]:
    def run(at: Timestamp, zone: str = "UTC") -> int:
        return read(at.moment.astimezone(_zone(zone)), at)

    return run


_PARTS: Final[dict[str, Callable[[datetime, Timestamp], int]]] = {
    "getFullYear": lambda moment, at: moment.year,
    "getMonth": lambda moment, at: moment.month - 1,
    "getDayOfYear": lambda moment, at: moment.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda moment, at: moment.day - 1,
    "getDate": lambda moment, at: moment.day,
    "getDayOfWeek": lambda moment, at: moment.isoweekday() % 7,
    "getHours": lambda moment, at: moment.hour,
    "getMinutes": lambda moment, at: moment.minute,
    "getSeconds": lambda moment, at: moment.second,
    "getMilliseconds": lambda moment, at: at.nanos // 10**6 % 1000,
}


def _whole(unit: int) -> Callable[[Duration], int]:
    """How often `unit` goes into a duration, cut off towards zero."""

    def run(long: Duration) -> int:
        count = abs(long.nanos) // unit
        return -count if long.nanos < 0 else count

    return run


def _milliseconds(long: Duration) -> int:
    count = abs(long.nanos) // 10**6
    return -count if long.nanos < 0 else count


def _timestamp_overloads() -> list[Overload]:
    found = []
    for name, read in _PARTS.items():
        run: Any = _part(read)
        found.append(overload(f"timestamp.{name}(): int", run))
        found.append(overload(f"timestamp.{name}(string): int", run))
    return found


OVERLOADS: Final = (
    *_timestamp_overloads(),
    overload("duration.getHours(): int", _whole(3600 * NANO)),
    overload("duration.getMinutes(): int", _whole(60 * NANO)),
    overload("duration.getSeconds(): int", _whole(NANO)),
    overload("duration.getMilliseconds(): int", _milliseconds),
)
