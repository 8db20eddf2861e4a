"""The machine as the Node object tells it: capacity, identity. Reads /proc, /sys and /etc only."""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.meta.quantity import canonical

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


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
    swap: int = 0
    hugepages: Mapping[str, str] = field(default_factory=dict)
    """Huge pages set aside, such as hugepages-2Mi > 64Mi."""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def memory_fields() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    fields = (line.split() for line in _text("/proc/meminfo").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in fields if len(words) > 1}


def _hugepages(folder: Path = Path("/sys/kernel/mm/hugepages")) -> dict[str, str]:
    """The huge pages set aside, by resource (hugepages-2Mi)."""
    found = {}
    for size in sorted(folder.glob("hugepages-*kB")):
        each = int(size.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        count = int(_text(str(size / "nr_hugepages")) or 0)
        found[f"hugepages-{canonical(f'{each // 1024}Ki')}"] = canonical(f"{each * count // 1024}Ki")
    return found


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
        memory=memory_fields().get("MemTotal", 0),
        disk=shutil.disk_usage(root).total,
        architecture=ARCHITECTURES.get(machine, machine),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=machine_id,
        system_uuid=_text("/sys/class/dmi/id/product_uuid").lower() or machine_id,
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        swap=memory_fields().get("SwapTotal", 0),
        hugepages=_hugepages(),
    )


def process_counts() -> tuple[int, int]:
    """How many processes and threads there may be (0: unknown), and how many there are."""
    limits = [int(_text(f"/proc/sys/kernel/{name}") or 0) for name in ("pid_max", "threads-max")]
    words = _text("/proc/loadavg").split()
    used = int(words[3].partition("/")[2]) if len(words) > 3 else 0
    return min((limit for limit in limits if limit), default=0), used


def cpu_topology(folder: Path = Path("/sys/devices/system/cpu")) -> tuple[int, int]:
    """How many cores and how many sockets the CPUs of this machine sit on, each counted once."""
    cores, sockets = set(), set()
    for place in folder.glob("cpu[0-9]*/topology"):
        socket = _text(str(place / "physical_package_id"))
        sockets.add(socket)
        cores.add((socket, _text(str(place / "core_id"))))
    return len(cores), len(sockets)


def has_apparmor() -> bool:
    """Whether the kernel enforces AppArmor profiles."""
    enabled = _text("/sys/module/apparmor/parameters/enabled").startswith("Y")
    return enabled and Path("/sys/kernel/security/apparmor").exists()


def uptime() -> float:
    """Seconds since the machine booted."""
    return float((_text("/proc/uptime") or "0").split()[0])


def cpu_seconds() -> float:
    """Seconds of CPU used by everything on the machine since it booted."""
    words = _text("/proc/stat").partition("\n")[0].split()[1:]
    busy = [int(word) for place, word in enumerate(words[:8]) if place not in (3, 4)]
    return sum(busy) / os.sysconf("SC_CLK_TCK")


def process_usage(pid: int) -> dict[str, float]:
    """Memory (bytes, resident) and CPU (seconds) that a process has used; empty once it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return {}
    ticks = int(fields[11]) + int(fields[12])
    return {
        "memoryBytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "cpuSeconds": ticks / os.sysconf("SC_CLK_TCK"),
    }
