"""Counters, gauges and histograms in the Prometheus text format, cheap enough for every request.

A series is a list of numbers found by its label values; the label text is made once, when the series is. The
whole page is rendered in one go (a few thousand lines take a millisecond or two).
"""

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

Labels = tuple[str, ...]

DURATIONS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)
"""Seconds: the buckets of apiserver_request_duration_seconds."""
SIZES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
"""Bytes: the buckets of apiserver_response_sizes."""


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
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = [0.0] * (len(self._buckets) + 2)
            self._texts[labels] = _text(self._labels, labels)
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


def process_metrics() -> Iterable[Metric]:
    """The standard metrics of this process."""
    started = time.time()
    return (
        Gauge(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            time.process_time,
            type="counter",
        ),
        Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", _resident),
        Gauge("process_start_time_seconds", "Start time of the process since the epoch.", lambda: started),
        Gauge("process_max_fds", "Maximum number of open file descriptors.", _max_files),
    )


def _resident() -> float:
    with open("/proc/self/statm", "rb") as file:
        return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


def _max_files() -> float:
    return float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class ServerMetrics:
    """The API server's own metrics, named as Kubernetes names them."""

    def __init__(self) -> None:
        which = ("verb", "group", "version", "resource", "subresource", "scope")
        self.requests = Counter(
            "apiserver_request_total", "Requests by verb, resource and HTTP code.", (*which, "code", "dry_run")
        )
        self.durations = Histogram(
            "apiserver_request_duration_seconds", "Seconds until a response was complete.", which, DURATIONS
        )
        self.sizes = Histogram("apiserver_response_sizes", "Bytes of response bodies.", which, SIZES)
        self.in_flight = Counter(
            "apiserver_current_inflight_requests",
            "Requests that are being served, by kind of request.",
            ("request_kind",),
            type="gauge",
        )
        self.rejected = Counter(
            "apiserver_rejected_requests_total",
            "Requests refused because too many were in flight.",
            ("request_kind",),
        )
        self.watchers = Counter(
            "apiserver_longrunning_requests", "Watches and streams that are open.", (*which[:5],), type="gauge"
        )
        self.watch_events = Counter(
            "apiserver_watch_events_total", "Events sent to watchers.", ("group", "version", "resource")
        )
        self.authentications = Counter(
            "authentication_attempts", "Authentications by their result.", ("result",)
        )
        self.decisions = Counter(
            "apiserver_authorization_decisions_total", "Authorization decisions.", ("type", "decision")
        )
        self._more: list[Metric] = list(process_metrics())

    def register(self, metric: Metric) -> None:
        """Show `metric` on the page as well."""
        self._more.append(metric)

    def render(self) -> bytes:
        """The page at /metrics (text format 0.0.4)."""
        families: list[Metric] = [
            value for value in vars(self).values() if isinstance(value, Counter | Histogram)
        ]
        return (
            "\n".join(line for metric in (*families, *self._more) for line in metric.lines()) + "\n"
        ).encode()
