"""Samples of what nodes use, and the usage that two of them tell. Pure.

A sample is what a kubelet's /metrics/resource says. CPU usage is the difference of two samples over the time
between them; a container that began in between is measured from its start.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

FRESH = 1.0
"""Seconds that a container must have run to be measured from its start."""
_LINE = re.compile(r"(\w+)(?:\{([^}]*)\})? (\S+)(?: (\d+))?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
NODE = ("", "", "")

Place = tuple[str, str, str]
"""Namespace, pod and container; NODE for the node itself."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one place had used when it was measured. CPU in seconds since the start, memory in bytes; times in
    seconds since the epoch."""

    at: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The points of one node."""

    points: Mapping[Place, Point] = field(default_factory=dict)


class Usage(NamedTuple):
    """CPU in nanocores and memory in bytes at a moment, measured over a window (both in seconds)."""

    cpu: int
    memory: int
    at: float
    window: float


_FIELDS = {
    "node_cpu_usage_seconds_total": "cpu",
    "node_memory_working_set_bytes": "memory",
    "container_cpu_usage_seconds_total": "cpu",
    "container_memory_working_set_bytes": "memory",
    "container_start_time_seconds": "started",
}


def parse(text: str, now: float) -> Sample:
    """The sample in the text of /metrics/resource; `now` for lines that do not say when they were measured."""
    points: dict[Place, Point] = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or (name := _FIELDS.get(found[1])) is None:
            continue
        labels = dict(_LABEL.findall(found[2] or ""))
        place = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        value = float(found[3])
        point = points.get(place, Point())
        if name == "cpu":
            points[place] = replace(point, cpu=value, at=int(found[4]) / 1000 if found[4] else now)
        elif name == "memory":
            points[place] = replace(point, memory=int(value))
        else:
            points[place] = replace(point, started=value)
    return Sample(points)


def usage(older: Point | None, newer: Point) -> Usage | None:
    """What a place uses by two of its points; None where they do not tell."""
    if older is not None and older.started == newer.started and newer.cpu >= older.cpu:
        window, spent = newer.at - older.at, newer.cpu - older.cpu
    else:
        window, spent = newer.at - newer.started, newer.cpu
        if not newer.started or window < FRESH:
            return None
    if window <= 0 or not newer.memory:
        return None
    return Usage(int(spent / window * 1e9), newer.memory, newer.at, window)


@dataclass(frozen=True, slots=True)
class Pair:
    """The last two samples of a node."""

    older: Sample = field(default_factory=Sample)
    newer: Sample = field(default_factory=Sample)

    def of(self, place: Place) -> Usage | None:
        """What a place uses now."""
        point = self.newer.points.get(place)
        return usage(self.older.points.get(place), point) if point is not None else None

    def then(self, sample: Sample) -> "Pair":
        """The pair once there is a newer sample."""
        return Pair(self.newer, sample)


def go_seconds(window: float) -> str:
    """A window as Go prints a duration, to the millisecond: 15.012s, 1m0s."""
    whole = round(window * 1000)
    minutes, rest = divmod(whole, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text
