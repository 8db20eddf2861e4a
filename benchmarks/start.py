"""`minikube-py start` on an installed machine until the API is ready, the node Ready and DNS answers.

The clock runs from the start of the command's process until all three have answered to a client outside (DNS
at its ClusterIP, through nftables). Cold is a profile that never was: keys, database and folders are made.
Warm is a start after a stop. Other work goes on while containerd starts; its own start is told apart. The
limit is 3 s.
"""

import compileall
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cluster import OwnCluster, need_root, own_home

import minikube_py

LIMIT = 3.0
COLD, WARM = 3, 2
"""Rounds: so many new profiles, each started again so often."""


@dataclass(frozen=True)
class Start:
    """Seconds of one start: in all, of containerd, of the process's CPU until it answers, and of each phase."""

    total: float
    containerd: float
    cpu: float
    phases: dict[str, float]


def process_began(pid: int) -> float:
    """When a process was started, in seconds since the epoch (10 ms exact)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def start(cluster: OwnCluster) -> Start:
    """Start it and see where the time goes."""
    begun = time.time()
    argv = [sys.executable, "-m", "minikube_py", "start"]
    lines: dict[str, float] = {}
    with subprocess.Popen(argv, env=cluster.environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines[line.strip()] = time.time()
    if child.returncode:
        raise SystemExit("\n".join(lines))
    done = time.time()
    cluster.answers()
    end = time.time()
    said = next(line for line in lines if "containerd runs" in line)
    containerd = float(said.rpartition(", ")[2].removesuffix(" s)"))
    status = cluster.get("/minikube-py/status")
    marks = {"the command's own process": process_began(cluster.pid)}
    marks |= {"imports": time.time() - status["uptimeSeconds"]}
    marks |= {"containerd; beside it keys, bridge, database": lines[said]}
    marks |= components(status)
    marks |= {"the node is Ready": next(at for line, at in lines.items() if "is Ready" in line)}
    marks |= {"kubeconfig; the command ends": done, "API, node and DNS answer outside": end}
    phases, last = {}, begun
    for name, at in marks.items():
        phases[name], last = at - last, at
    return Start(end - begun, containerd, status["process"]["cpuSeconds"], phases)


def components(status: Any) -> dict[str, float]:
    """When each component was ready, in the order of the start."""
    found = {
        entry["name"]: datetime.fromisoformat(entry["since"]).timestamp() for entry in status["components"]
    }
    found.pop("containerd", None)
    return found


def show(title: str, starts: list[Start]) -> None:
    """Print the medians."""
    total = statistics.median(s.total for s in starts)
    containerd = statistics.median(s.containerd for s in starts)
    cpu = statistics.median(s.cpu for s in starts)
    print(f"\n{title}, median of {len(starts)} (each: {', '.join(f'{s.total:.2f}' for s in starts)} s)")
    print("| phase | ms |")
    print("|---|---|")
    for name in starts[0].phases:
        print(f"| {name} | {statistics.median(s.phases[name] for s in starts) * 1000:.0f} |")
    print(f"| **all** | **{total * 1000:.0f}** |")
    print(f"| containerd's own start, in it | {containerd * 1000:.0f} |")
    print(f"| CPU of the cluster's process, in it | {cpu * 1000:.0f} |")
    print(f"limit {LIMIT:g} s: ratio {total / LIMIT:.2f}")


def main() -> None:
    """Measure and print the tables."""
    need_root()
    compileall.compile_dir(Path(minikube_py.__file__).parent, quiet=1)  # as an installation does
    cold, warm = [], []
    for _ in range(COLD):
        with own_home() as cluster:
            cold.append(start(cluster))
            for _ in range(WARM):
                cluster.run("stop")
                warm.append(start(cluster))
    show("A new profile", cold)
    show("A start after a stop", warm)
    print(f"\nload average while measuring: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
