"""The standard metrics of this process, and the version that it serves, for every component's page."""

import os
import re
import resource
import time
from collections.abc import Iterable, Mapping

from minikube_py.aio.metrics import Counter, Gauge, Metric

STARTED = time.time()
PAGE = os.sysconf("SC_PAGE_SIZE")


def process_metrics() -> Iterable[Metric]:
    """The standard metrics of this process."""
    return (
        Gauge(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            time.process_time,
            type="counter",
        ),
        Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", lambda: _pages(1)),
        Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", lambda: _pages(0)),
        Gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            lambda: STARTED,
        ),
        Gauge("process_max_fds", "Maximum number of open file descriptors.", _max_files),
        Gauge("process_open_fds", "Number of open file descriptors.", _open_files),
    )


def build_info(version: Mapping[str, str]) -> Metric:
    """Which Kubernetes is served; `version` is what /version answers, from which it takes what was built."""
    built = {name: text for name, text in sorted(version.items()) if not name.endswith(("Major", "Minor"))}
    labels = {re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name): v for name, v in built.items()}
    help = (
        "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git "
        "tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on "
        "which it is running."
    )
    made = Counter("kubernetes_build_info", help, tuple(labels), type="gauge")
    made.add(tuple(labels.values()))
    return made


def _pages(place: int) -> float:
    with open("/proc/self/statm", "rb") as file:
        return float(int(file.read().split()[place]) * PAGE)


def _max_files() -> float:
    return float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _open_files() -> float:
    return float(len(os.listdir("/proc/self/fd")))
