"""Preflight: what the machine lacks for a cluster, each with the reason and the command that mends it.

Nothing is changed but by `load_overlay`. Blocking, a few milliseconds.
"""

import os
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio import process
from minikube_py.cluster.cni import plugin_folder

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NAMESPACES = ("net", "pid", "mnt", "uts", "ipc")


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing: what, what it is needed for, and the command that mends it ('' if none is
    known)."""

    what: str
    why: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f" (mend it with `{self.fix}`)" if self.fix else "")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a cluster needs, and the package that holds it for each package manager."""

    name: str
    why: str
    apt: str
    dnf: str


PROGRAMS = (
    Program("containerd", "it runs the containers", "containerd", "containerd"),
    Program("runc", "containerd starts containers with it", "runc", "runc"),
    Program("nft", "Services are nftables rules", "nftables", "nftables"),
    Program("ip", "the pods' bridge is made with it", "iproute2", "iproute"),
)
CNI = Program(
    "CNI plugins",
    "they connect pods to the bridge",
    "containernetworking-plugins",
    "containernetworking-plugins",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What preflight looks at; the defaults are this machine."""

    euid: int = -1
    which: Callable[[str], str | None] = lambda name: shutil.which(name, path=_search_path())
    cni: Callable[[], Path | None] = plugin_folder
    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")

    def is_root(self) -> bool:
        return (os.geteuid() if self.euid < 0 else self.euid) == 0


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), SEARCH_PATH))


def install_command(program: Program, machine: Machine) -> str:
    """The command that installs `program` here; '' where the package manager is unknown."""
    if machine.which("apt-get"):
        return f"apt-get install -y {program.apt}"
    if machine.which("dnf"):
        return f"dnf install -y {program.dnf}"
    return ""


def load_overlay(machine: Machine | None = None) -> None:
    """Load the kernel's module for overlayfs where nothing has yet (systems load it with their own containerd);
    what stands in the way is told by `missing`."""
    machine = machine or Machine()
    if "overlay" not in _filesystems(machine) and (program := machine.which("modprobe")):
        process.run_blocking([program, "overlay"], check=False)


def _filesystems(machine: Machine) -> list[str]:
    known = machine.proc / "filesystems"
    return known.read_text().split() if known.exists() else []


def missing(machine: Machine | None = None) -> list[Missing]:
    """What stands in the way of a cluster here, in the order to mend it; [] if nothing does."""
    machine = machine or Machine()
    found = []
    if not machine.is_root():
        found.append(Missing("root", "containers, bridges and nftables need it", "sudo minikube-py start"))
    lacking = [program for program in PROGRAMS if machine.which(program.name) is None]
    lacking += [CNI] if machine.cni() is None else []
    found += [Missing(program.name, program.why, install_command(program, machine)) for program in lacking]
    return found + _kernel(machine)


def _kernel(machine: Machine) -> list[Missing]:
    found = []
    if "overlay" not in _filesystems(machine):
        found.append(Missing("overlayfs", "images are stacked with it", "modprobe overlay"))
    if not _has_cgroups(machine.cgroups):
        found.append(Missing("cgroups", f"no cgroup hierarchy with cpu, memory and pids in {machine.cgroups}"))
    elif machine.is_root() and not _may_write(machine.cgroups):
        found.append(
            Missing("writable cgroups", f"{machine.cgroups} is read-only; a container must be privileged")
        )
    absent = [kind for kind in NAMESPACES if not (machine.proc / "self" / "ns" / kind).exists()]
    return found + [Missing(f"{kind} namespaces", "pods are isolated by them") for kind in absent]


def _has_cgroups(root: Path) -> bool:
    unified = root / "cgroup.controllers"
    if unified.exists():
        return {"cpu", "memory", "pids"} <= set(unified.read_text().split())
    return all((root / controller).is_dir() for controller in ("cpu", "memory", "pids"))


def _may_write(root: Path) -> bool:
    """Whether cgroups can be made; of version 1 the folder of all hierarchies may be read-only."""
    unified = (root / "cgroup.controllers").exists()
    return os.access(root if unified else root / "memory", os.W_OK)


def busy_ports(bindings: Sequence[tuple[str, int]]) -> list[Missing]:
    """Those of `bindings` (address, TCP port) that another program holds. An address that this machine does
    not have yet (the bridge's) counts as free."""
    found = []
    for address, port in bindings:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except PermissionError:
                found.append(Missing(f"port {port}", f"{address}:{port} may not be bound by this user"))
            except OSError as error:
                if error.errno == 98:  # EADDRINUSE; EADDRNOTAVAIL is no conflict
                    found.append(
                        Missing(f"port {port}", f"{address}:{port} is in use", f"ss -ltnp 'sport = :{port}'")
                    )
    return found
