"""Pressure stall information: how long tasks waited for CPU, memory and disks (KEP-4205), from cgroup v2.

`some` is the time in which a task at least waited, `full` that in which all of them did. A kernel without it
(or cgroup v1) tells nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from minikube_py.meta.objects import Obj

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Stall:
    """One line of a pressure file: microseconds in all, and percentages over 10, 60 and 300 seconds."""

    total: int = 0
    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """The pressure file of one resource."""

    some: Stall = Stall()
    full: Stall = Stall()

    def document(self) -> Obj:
        """As the Summary has it."""
        return asdict(self)


Pressures = Mapping[str, Pressure]
"""By resource: cpu, memory, io; empty where the kernel tells none."""


def read_pressures(folder: Path) -> Pressures:
    """The pressures of the cgroup v2 at `folder`. Blocking."""
    found = {}
    for resource in RESOURCES:
        try:
            found[resource] = parse((folder / f"{resource}.pressure").read_text())
        except (OSError, ValueError):  # a kernel that was told to keep none refuses the read
            continue
    return found


def parse(text: str) -> Pressure:
    """The content of a pressure file, such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. Errors:
    ValueError."""
    lines = {}
    for line in text.splitlines():
        name, *words = line.split()
        values = dict(word.split("=", 1) for word in words)
        averages = (float(values.get(key, "0")) for key in ("avg10", "avg60", "avg300"))
        lines[name] = Stall(int(values.get("total", "0")), *averages)
    return Pressure(lines.get("some", Stall()), lines.get("full", Stall()))
