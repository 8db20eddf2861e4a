"""Counters, gauges and histograms in the Prometheus text format, cheap enough for every request and every key.

A series is a list of numbers found by its label values; the label text is made once, when the series is. The
whole page is rendered in one go (a few thousand lines take a millisecond or two).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

Labels = tuple[str, ...]


class Metric(Protocol):
    """One metric family."""

    def lines(self) -> Iterator[str]:
        """Its HELP, TYPE and samples."""


def _text(names: Sequence[str], values: Labels) -> str:
    escaped = (v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for v in values)
    return ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


class Counter:
    """Numbers that only rise (or, as a gauge, move), one for each combination of labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, type: str = "counter") -> None:
        self._name, self._help, self._type = name, help, type
        self._labels = tuple(labels)
        self._series: dict[Labels, list[float]] = {}
        self._texts: dict[Labels, str] = {}

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        """Raise the series by `amount`."""
        self.series(labels)[0] += amount

    def series(self, labels: Labels = ()) -> list[float]:
        """The series itself, a list of one number, for those who change it often."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = [0.0]
            self._texts[labels] = f"{{{_text(self._labels, labels)}}}" if labels else ""
        return series

    def value(self, labels: Labels = ()) -> float:
        """The series' number, 0 where it has none yet."""
        return self._series.get(labels, [0.0])[0]

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self._name} {self._help}"
        yield f"# TYPE {self._name} {self._type}"
        for labels, series in self._series.items():
            yield f"{self._name}{self._texts[labels]} {_number(series[0])}"


class Gauge:
    """A number that is asked for when the page is rendered."""

    def __init__(self, name: str, help: str, read: Callable[[], float], *, type: str = "gauge") -> None:
        self._name, self._help, self._read, self._type = name, help, read, type

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self._name} {self._help}"
        yield f"# TYPE {self._name} {self._type}"
        yield f"{self._name} {_number(self._read())}"


class Histogram:
    """How observations spread over buckets, one spread for each combination of labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name, self._help = name, help
        self._labels = tuple(labels)
        self._buckets = tuple(buckets)
        self._bounds = [*map(_number, buckets), "+Inf"]
        self._series: dict[Labels, list[float]] = {}  # a count for each bucket, then the sum
        self._texts: dict[Labels, str] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count one observation."""
        self.count(self.series(labels), value)

    def series(self, labels: Labels) -> list[float]:
        """The series itself, for those who `count` in it often."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = [0.0] * (len(self._buckets) + 2)
            self._texts[labels] = _text(self._labels, labels)
        return series

    def remove(self, labels: Labels) -> None:
        """Forget a series: what it told of is gone."""
        self._series.pop(labels, None)
        self._texts.pop(labels, None)

    def count(self, series: list[float], value: float) -> None:
        """Count one observation in a series."""
        series[bisect_left(self._buckets, value)] += 1
        series[-1] += value

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self._name} {self._help}"
        yield f"# TYPE {self._name} histogram"
        for labels, series in self._series.items():
            text, total = self._texts[labels], 0.0
            comma = "," if text else ""
            for bound, count in zip(self._bounds, series[:-1], strict=True):
                total += count
                yield f'{self._name}_bucket{{{text}{comma}le="{bound}"}} {_number(total)}'
            braces = f"{{{text}}}" if text else ""
            yield f"{self._name}_sum{braces} {_number(series[-1])}"
            yield f"{self._name}_count{braces} {_number(total)}"
