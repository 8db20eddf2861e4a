"""Block devices: what a cgroup has read from and written to each, and what they are called."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from minikube_py.kubelet.stats.files import text


@dataclass(frozen=True, slots=True)
class Disk:
    """What was read from and written to one device: bytes and operations."""

    device: str
    major: int
    minor: int
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


def v1_disks(folder: str) -> list[Disk]:
    """The devices in the blkio cgroup at `folder`. Blocking."""
    found: dict[str, dict[str, int]] = {}
    for file, what in (("io_service_bytes", "Bytes"), ("io_serviced", "")):
        for line in text(f"{folder}/blkio.throttle.{file}_recursive").splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in ("Read", "Write"):
                found.setdefault(words[0], {})[words[1] + what] = int(words[2])
    names = ("ReadBytes", "WriteBytes", "Read", "Write")
    return [_disk(number, [counts.get(name, 0) for name in names]) for number, counts in found.items()]


def v2_disks(stat: str) -> list[Disk]:
    """The devices in the text of a cgroup v2's io.stat."""
    found = []
    for line in stat.splitlines():
        number, *words = line.split()
        counts = dict(word.split("=", 1) for word in words if "=" in word)
        found.append(_disk(number, [int(counts.get(name, 0)) for name in ("rbytes", "wbytes", "rios", "wios")]))
    return found


def _disk(number: str, counts: Sequence[int]) -> Disk:
    major, minor = (int(word) for word in number.split(":"))
    return Disk(device_name(number), major, minor, *counts)


@cache
def device_name(number: str) -> str:
    """The device file of `major:minor`; '' where the kernel names none."""
    try:
        return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{number}'))}"
    except OSError:
        return ""


def device_of(folder: str) -> str:
    """The device whose file system holds `folder`, or what is mounted there in its place (overlay, tmpfs)."""
    number = os.stat(folder).st_dev
    pair = f"{os.major(number)}:{os.minor(number)}"
    for line in text("/proc/self/mountinfo").splitlines():
        words = line.split(" ")
        if words[2] == pair:
            return device_name(pair) or words[words.index("-") + 2]
    return device_name(pair)
