"""When a schedule is due: the next moment, and the last one that was missed. Pure.

Times of the wall clock that a change to summer time skips are not due; those that it repeats are due twice (as
cron libraries that walk the real time do).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from minikube_py.kinds.batch.schedule import Schedule

HORIZON = 5 * 366
"""Days within which a schedule must be due; `30 2 30 2 *` never is."""
MANY = 100
"""Missed times above which the user is warned."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The latest time that was due and not acted on, whether there were too many of them, and whether the
    schedule is never due (within five years)."""

    at: datetime | None = None
    too_many: bool = False
    never: bool = False


def next_after(schedule: Schedule, moment: datetime, zone: str = "UTC") -> datetime | None:
    """The first time due after `moment` (aware), in UTC; None where there is none within five years."""
    if schedule.every:
        whole = moment.replace(microsecond=0)
        return (whole + timedelta(seconds=schedule.every)).astimezone(UTC)
    where = ZoneInfo(schedule.zone or zone)
    today = moment.astimezone(where).date()
    for days in range(HORIZON):
        day = today + timedelta(days=days)
        if not _day_matches(schedule, day):
            continue
        for due in _times(schedule, day, where):
            if due > moment:
                return due
    return None


def _day_matches(schedule: Schedule, day: date) -> bool:
    if day.month not in schedule.months:
        return False
    by_date, by_weekday = day.day in schedule.days, day.isoweekday() % 7 in schedule.weekdays
    if schedule.any_day or schedule.any_weekday:
        return by_date and by_weekday
    return by_date or by_weekday


def _times(schedule: Schedule, day: date, where: ZoneInfo) -> Iterator[datetime]:
    """The moments of one day that are due, in UTC, rising."""
    minutes = sorted(schedule.minutes)
    for hour in sorted(schedule.hours):
        begin = datetime(day.year, day.month, day.day, hour, tzinfo=where)
        twice = begin.replace(minute=59).utcoffset() != begin.replace(minute=59, fold=1).utcoffset()
        for fold in (0, 1) if twice else (0,):
            for minute in minutes:
                local = begin.replace(minute=minute, fold=fold)
                due = local.astimezone(UTC)
                back = due.astimezone(where)
                if (back.hour, back.minute, back.fold) == (hour, minute, fold):
                    yield due


def latest_missed(schedule: Schedule, earliest: datetime, now: datetime, zone: str = "UTC") -> Missed:
    """The latest time due after `earliest` and not after `now`."""
    first = next_after(schedule, earliest, zone)
    if first is None or first > now:
        return Missed(never=first is None)
    second = next_after(schedule, first, zone)
    if second is None or second > now:
        return Missed(first)
    between = (second - first).total_seconds()
    too_many = (now - first).total_seconds() / between + 1 > MANY
    if schedule.every:
        passed = int((now - first).total_seconds() // schedule.every)
        return Missed(first + timedelta(seconds=passed * schedule.every), too_many)
    return Missed(_last_before(schedule, second, now, zone), too_many)


def _last_before(schedule: Schedule, known: datetime, now: datetime, zone: str) -> datetime:
    """The latest time due not after `now`, where `known` is due and not after it: looked for from the last
    minutes, hours, days on, so that few times are walked."""
    found = known
    for window in (timedelta(minutes=10), timedelta(hours=12), timedelta(days=20), now - known):
        start = max(known, now - window)
        due = next_after(schedule, start, zone)
        while due is not None and due <= now:
            found, due = due, next_after(schedule, due, zone)
        if found > known or start == known:
            break
    return found
