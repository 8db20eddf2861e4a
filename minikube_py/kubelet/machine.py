"""The machine as the Node object tells it: capacity, identity, pressure. Reads /proc, /sys and /etc only."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEMORY_FLOOR = 100 << 20  # bytes available below which the node is under memory pressure
DISK_FLOOR = 0.10  # share of the disk available below which it is under disk pressure
INODE_FLOOR = 0.05
PID_FLOOR = 0.02


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the kubelet runs. Sizes in bytes."""

    cores: int
    memory: int
    disk: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Pressure:
    """Whether the machine runs short of something."""

    memory: bool = False
    disk: bool = False
    pids: bool = False


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    fields = (line.split() for line in _text("/proc/meminfo").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in fields if len(words) > 1}


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def read_machine(root: Path) -> Machine:
    """The machine, with the disk that holds `root`."""
    machine = platform.machine()
    machine_id = _text("/etc/machine-id") or _text("/proc/sys/kernel/random/boot_id").replace("-", "")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory=_meminfo().get("MemTotal", 0),
        disk=shutil.disk_usage(root).total,
        architecture=ARCHITECTURES.get(machine, machine),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=machine_id,
        system_uuid=_text("/sys/class/dmi/id/product_uuid").lower() or machine_id,
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
    )


def read_pressure(root: Path) -> Pressure:
    """What the machine runs short of now."""
    info = _meminfo()
    disk = os.statvfs(root)
    pid_max = int(_text("/proc/sys/kernel/pid_max") or 0)
    threads = _text("/proc/loadavg").split()
    used = int(threads[3].partition("/")[2]) if len(threads) > 3 else 0
    return Pressure(
        memory=info.get("MemAvailable", MEMORY_FLOOR) < MEMORY_FLOOR,
        disk=disk.f_bavail < DISK_FLOOR * disk.f_blocks
        or (disk.f_files > 0 and disk.f_favail < INODE_FLOOR * disk.f_files),
        pids=pid_max > 0 and pid_max - used < PID_FLOOR * pid_max,
    )


def uptime() -> float:
    """Seconds since the machine booted."""
    return float((_text("/proc/uptime") or "0").split()[0])


def available_memory() -> int:
    """Bytes of memory that could be given out without swapping."""
    return _meminfo().get("MemAvailable", 0)


def cpu_seconds() -> float:
    """Seconds of CPU used by everything on the machine since it booted."""
    words = _text("/proc/stat").partition("\n")[0].split()[1:]
    busy = [int(word) for place, word in enumerate(words[:8]) if place not in (3, 4)]
    return sum(busy) / os.sysconf("SC_CLK_TCK")
