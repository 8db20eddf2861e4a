"""The idle cluster: memory and CPU of its process, and with 20 pods whose probes run.

Memory is resident (RSS) at the end; CPU is user and system time as a share of one core, over SECONDS. The
limits, 150 MB and 1%, are those of a cluster without pods. Containerd's own use is told apart. `--only` picks
sections: empty (no pods), probes (20 pods). What quiet pods cost is told by pods.py.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass

from cluster import IMAGE, OwnCluster, need_root, started

from minikube_py.cluster.containerd import listener
from minikube_py.kubelet.node.machine import process_usage
from minikube_py.meta.objects import condition_is

SECONDS = 30.0
SETTLE = 8.0
PODS = 20
SECTIONS = ("empty", "probes")
LIMIT_MEMORY, LIMIT_CPU = 150.0, 1.0
"""MB (10^6 bytes), and percent of a core."""


@dataclass(frozen=True)
class Use:
    """MB resident, and percent of a core, of one process."""

    memory: float
    cpu: float


def measure(pids: dict[str, int]) -> dict[str, Use]:
    """What each process uses over SECONDS."""
    before, begin = {name: process_usage(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(SECONDS)
    passed = time.monotonic() - begin
    found = {}
    for name, pid in pids.items():
        now = process_usage(pid)
        spent = now["cpuSeconds"] - before[name]["cpuSeconds"]
        found[name] = Use(now["memoryBytes"] / 1e6, 100 * spent / passed)
    return found


def pids(cluster: OwnCluster) -> dict[str, int]:
    """The cluster's process and its containerd."""
    containerd = listener(cluster.profile.containerd_socket)
    assert containerd is not None
    return {"minikube-py": cluster.pid, "containerd": containerd}


def probed_pod(number: int) -> dict[str, object]:
    """A web server with a readiness and a liveness probe, each every 10 s."""
    container = {
        "name": "web",
        "image": IMAGE,
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 10},
        "livenessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 10, "initialDelaySeconds": 5},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"web-{number}"}, "spec": spec}


def run_pods(cluster: OwnCluster) -> None:
    """Make PODS pods and wait until all are Ready."""
    manifest = cluster.home / "pods.json"
    items = [probed_pod(number) for number in range(PODS)]
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    cluster.run("apply", "-f", str(manifest))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = cluster.get("/api/v1/namespaces/default/pods")["items"]
        if sum(condition_is(pod, "Ready") for pod in found) == PODS:
            return
        time.sleep(0.5)
    raise TimeoutError("the pods are not ready")


def row(title: str, name: str, use: Use, *, limited: bool = False) -> str:
    """One line of the table."""
    memory = f"| {use.memory / LIMIT_MEMORY:.2f} of {LIMIT_MEMORY:g} MB " if limited else "| - "
    cpu = f"| {use.cpu / LIMIT_CPU:.2f} of {LIMIT_CPU:g}% |" if limited else "| - |"
    load = f"{os.getloadavg()[0]:.1f}"
    return f"| {title} | {name} | {use.memory:.0f} | {use.cpu:.2f} {memory}{cpu} {load} |"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure the idle cluster.")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a section (may be given again)")
    wanted = parser.parse_args().only or SECTIONS
    need_root()
    print(f"{SECONDS:g} s | process | RSS, MB | CPU, % of a core | memory, of limit | CPU, of limit | load")
    print("---|---|---|---|---|---|---", flush=True)
    with started() as cluster:
        if "empty" in wanted:
            time.sleep(SETTLE)
            for name, use in measure(pids(cluster)).items():
                print(row("no pods", name, use, limited=name == "minikube-py"), flush=True)
        if "probes" in wanted:
            run_pods(cluster)
            time.sleep(SETTLE)
            for name, use in measure(pids(cluster)).items():
                print(row(f"{PODS} pods with probes", name, use), flush=True)


if __name__ == "__main__":
    main()
