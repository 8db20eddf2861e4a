"""Eviction thresholds: below which amounts the node runs short, as KubeletConfiguration names them. Pure.

A threshold is an amount (100Mi) or a share of the capacity (10%). A hard one counts at once, a soft one after
its grace period. Source: the Kubernetes documentation, Node-pressure Eviction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from minikube_py.meta.quantity import BINARY, DECIMAL, format_quantity, int_value, parse_quantity

MEMORY, PIDS = "memory.available", "pid.available"
PODS_MEMORY = "allocatableMemory.available"
"""Of what the cgroup of all pods is limited to; a hard threshold of MEMORY counts for it too."""
NODEFS, IMAGEFS = "nodefs.available", "imagefs.available"
NODEFS_INODES, IMAGEFS_INODES = "nodefs.inodesFree", "imagefs.inodesFree"
DEFAULT_HARD = {
    MEMORY: "100Mi",
    NODEFS: "10%",
    NODEFS_INODES: "5%",
    IMAGEFS: "15%",
    IMAGEFS_INODES: "5%",
}


class Meaning(NamedTuple):
    """What a signal is about: the node's condition, and the resource as messages name it."""

    condition: str
    resource: str


SIGNALS = {
    MEMORY: Meaning("MemoryPressure", "memory"),
    PODS_MEMORY: Meaning("MemoryPressure", "memory"),
    NODEFS: Meaning("DiskPressure", "ephemeral-storage"),
    NODEFS_INODES: Meaning("DiskPressure", "inodes"),
    IMAGEFS: Meaning("DiskPressure", "ephemeral-storage"),
    IMAGEFS_INODES: Meaning("DiskPressure", "inodes"),
    PIDS: Meaning("PIDPressure", "pids"),
}
"""In the order in which shortages are dealt with: memory first."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One signal: bytes, inodes or processes."""

    capacity: int
    available: int


Observations = Mapping[str, Observed]
"""What was read, by signal; a signal that cannot be read is missing."""


@dataclass(frozen=True, slots=True)
class EvictionConfig:
    """Thresholds by signal, as text; periods in seconds."""

    hard: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_HARD))
    soft: Mapping[str, str] = field(default_factory=dict)
    soft_grace: Mapping[str, float] = field(default_factory=dict)
    minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    max_pod_grace: int = 0
    """The most that a pod gets which a soft threshold evicts."""
    transition: float = 300.0
    """How long a condition of the node stays once its cause is over."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold. `reclaim`: how much more than the value must be available again until it is over."""

    signal: str
    value: str
    grace: float = 0.0
    reclaim: str = "0"

    @property
    def hard(self) -> bool:
        """Whether pods get no time of their own."""
        return not self.grace

    @property
    def meaning(self) -> Meaning:
        return SIGNALS[self.signal]

    def limit(self, capacity: int) -> int:
        """The value as an amount of `capacity`."""
        return amount(self.value, capacity)

    def is_met(self, seen: Observed, *, known: bool = False) -> bool:
        """Whether too little is available; `known`: it was before, so that the least to reclaim counts too."""
        extra = amount(self.reclaim, seen.capacity) if known else 0
        return seen.available < self.limit(seen.capacity) + extra

    def quantity(self, capacity: int) -> str:
        """The value as messages show it."""
        if not self.value.endswith("%"):
            return self.value
        return shown(self.meaning.resource, self.limit(capacity))


def amount(text: str, capacity: int) -> int:
    """An amount, or a share of `capacity`. Errors: ValueError."""
    if text.endswith("%"):
        return int(capacity * float(text[:-1]) / 100)
    return int_value(text)


def shown(resource: str, number: int) -> str:
    """An amount of a resource as text: bytes in Ki and Mi, all else as a number."""
    return format_quantity(number, BINARY if resource in ("memory", "ephemeral-storage") else DECIMAL)


def thresholds(config: EvictionConfig) -> list[Threshold]:
    """All thresholds, memory's first. Errors: ValueError for a signal or value that is none."""
    found = [
        Threshold(signal, value, reclaim=config.minimum_reclaim.get(signal, "0"))
        for signal, value in config.hard.items()
        if not is_off(checked(signal, value))
    ]
    found += [replace(hard, signal=PODS_MEMORY) for hard in found if hard.signal == MEMORY]
    for signal, value in config.soft.items():
        if signal not in config.soft_grace:
            raise ValueError(f"grace period must be specified for the soft eviction threshold {signal}")
        grace = config.soft_grace[signal]
        reclaim = config.minimum_reclaim.get(signal, "0")
        found.append(Threshold(signal, checked(signal, value), grace, reclaim))
    order = list(SIGNALS)
    return sorted(found, key=lambda threshold: order.index(threshold.signal))


def is_off(value: str) -> bool:
    """Whether a value turns its threshold off."""
    return value in ("0%", "100%")


def checked(signal: str, value: str) -> str:
    """`value`. Errors: ValueError where the signal is none or the value makes no sense."""
    if signal not in SIGNALS:
        raise ValueError(f"{signal!r} is none of {', '.join(SIGNALS)}")
    if value.endswith("%"):
        if not 0 <= float(value[:-1]) <= 100:
            raise ValueError(f"{value} is no share")
    elif parse_quantity(value) < 0:
        raise ValueError(f"{value} is negative")
    return value


def parsed(text: str, mark: str = "<") -> dict[str, str]:
    """Thresholds as the kubelet's flags take them: memory.available<100Mi,nodefs.available<10%. Errors:
    ValueError."""
    found = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        signal, between, value = part.partition(mark)
        if not between:
            raise ValueError(f"{part!r} is no SIGNAL{mark}VALUE")
        found[signal] = checked(signal, value) if mark == "<" else value
    return found


def told(hard: str, soft: str, grace: str, transition: str) -> EvictionConfig:
    """The configuration that flags mean. Errors: ValueError."""
    return EvictionConfig(
        hard=parsed(hard), soft=parsed(soft), soft_grace=periods(grace), transition=seconds(transition)
    )


def periods(text: str) -> dict[str, float]:
    """Grace periods by signal: memory.available=1m30s, in seconds. Errors: ValueError."""
    found = {}
    for signal, value in parsed(text, "=").items():
        checked(signal, "0")
        found[signal] = seconds(value)
    return found


def seconds(text: str) -> float:
    """The seconds of a duration such as 1m30s. Errors: ValueError."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for char in text:
        if char in units:
            total, number = total + float(number) * units[char], ""
        else:
            number += char
    if number or not text:
        raise ValueError(f"{text!r} is no duration such as 1m30s")
    return total


def conditions(met: Iterable[Threshold]) -> set[str]:
    """The conditions of the node that thresholds mean."""
    return {threshold.meaning.condition for threshold in met}
