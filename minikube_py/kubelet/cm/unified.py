"""cgroup v2: controllers handed down to a cgroup, its limits, and the end of what runs in it.

A controller is handed down one by one, and only where it is missing: the kernel refuses a whole line for one of
its words. What the kernel refuses is logged, and the rest is done. Blocking, well below a millisecond.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from minikube_py.runtime.base import Resources

log = logging.getLogger(__name__)

CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io", "hugetlb")
"""Those that pods and their containers are limited or measured by."""

HUGEPAGES = ("", "rsvd.")
"""What is limited of huge pages, as files are named: those in use, and those that a mapping reserves, which
fails at once where there are too few."""


def make(root: Path, path: str) -> Path:
    """The cgroup at `path` (such as /kubepods/burstable) below the hierarchy's `root`, made with all
    controllers that are there to be had; its directory. Errors: OSError."""
    directory = root
    for part in path.strip("/").split("/"):
        _hand_down(directory)
        directory = directory / part
        directory.mkdir(exist_ok=True)
    return directory


def _hand_down(directory: Path) -> None:
    given = set(words(directory / "cgroup.subtree_control"))
    available = set(words(directory / "cgroup.controllers")) - given
    for name in CONTROLLERS:
        if name in available:
            write(directory / "cgroup.subtree_control", f"+{name}")


def limit(directory: Path, limits: Resources) -> None:
    """Give the cgroup the limits."""
    for name, value in files(limits):
        write(directory / name, value)


def files(limits: Resources) -> Iterator[tuple[str, str]]:
    """Each limit as a file's name and content; the CPU's weight is counted from shares as KEP-2254 has it."""
    yield "cpu.weight", str(1 + ((limits.cpu_shares - 2) * 9999) // 262142)
    if limits.cpu_quota:
        yield "cpu.max", f"{limits.cpu_quota} {limits.cpu_period}"
    if limits.memory:
        yield "memory.max", str(limits.memory)
    if limits.pids:
        yield "pids.max", str(limits.pids)
    for size, most in limits.hugepages.items():
        yield from ((f"hugetlb.{size}.{kind}max", str(most)) for kind in HUGEPAGES)


def kill(directory: Path) -> None:
    """Kill all that runs in the cgroup and below it, and what is forked meanwhile; since Linux 5.14."""
    file = directory / "cgroup.kill"
    if file.exists():
        write(file, "1")


def write(file: Path, text: str) -> None:
    """Write to a cgroup's file, or log that it cannot be."""
    try:
        file.write_text(text)
    except OSError as error:
        log.warning("cannot write %r to %s: %s", text, file, error.strerror)


def words(file: Path) -> list[str]:
    """The words in a cgroup's file; none where it cannot be read."""
    try:
        return file.read_text().split()
    except OSError:
        return []
