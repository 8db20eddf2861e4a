"""Pods by bare CRI calls: how long RunPodSandbox, CreateContainer and StartContainer take here and now.

This is the limit beside which the cluster's own pod start is measured in the same run. `python
benchmarks/pods.py` prints it with containerd's own start, on a private containerd (root).
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from minikube_py.cluster.containerd import ContainerdProcess
from minikube_py.runtime.base import ContainerConfig, Resources, Runtime, SandboxConfig
from minikube_py.runtime.containerd import Containerd
from minikube_py.testing.containerd import BUSYBOX, private_containerd

ROUNDS = 5
_numbers = itertools.count()


async def bare_cri_pod(runtime: Runtime, image: str = BUSYBOX, cgroup: str = "") -> tuple[str, float]:
    """Start one pod of one container that sleeps; its sandbox id and the seconds until it ran."""
    name = f"bare-{next(_numbers)}"
    sandbox = SandboxConfig(
        name=name,
        namespace="default",
        uid=name,
        hostname=name,
        dns_servers=("10.96.0.10",),
        cgroup_parent=f"{cgroup}/{name}" if cgroup else "",
    )
    container = ContainerConfig(
        name="main", image=image, command=("/bin/sleep", "3600"), resources=Resources(cpu_shares=102)
    )
    begin = time.perf_counter()
    sandbox_id = await runtime.sandboxes.run(sandbox)
    id = await runtime.containers.create(sandbox_id, container, sandbox)
    await runtime.containers.start(id)
    return sandbox_id, time.perf_counter() - begin


async def remove_pods(runtime: Runtime, sandboxes: list[str]) -> None:
    """Stop and remove sandboxes, all at once."""
    await asyncio.gather(*(runtime.sandboxes.stop(id) for id in sandboxes))
    await asyncio.gather(*(runtime.sandboxes.remove(id) for id in sandboxes))


async def bare_cri_one(runtime: Runtime, image: str = BUSYBOX, cgroup: str = "") -> float:
    """Seconds until one pod runs; it is removed afterwards (not counted)."""
    sandbox, seconds = await bare_cri_pod(runtime, image, cgroup)
    await remove_pods(runtime, [sandbox])
    return seconds


async def bare_cri_many(runtime: Runtime, pods: int, image: str = BUSYBOX, cgroup: str = "") -> float:
    """Seconds until `pods` pods started at once all run; they are removed afterwards (not counted)."""
    begin = time.perf_counter()
    started = await asyncio.gather(*(bare_cri_pod(runtime, image, cgroup) for _ in range(pods)))
    seconds = time.perf_counter() - begin
    await remove_pods(runtime, [sandbox for sandbox, _ in started])
    return seconds


async def containerd_start(process: ContainerdProcess) -> float:
    """Seconds from the start of a stopped containerd until its CRI service answers."""
    await process.stop()
    begin = time.perf_counter()
    await process.start()
    runtime = await Containerd.connect(process.config.socket)
    seconds = time.perf_counter() - begin
    await runtime.close()
    return seconds


async def measure() -> None:
    """Print the three figures."""
    with tempfile.TemporaryDirectory() as folder:
        async with private_containerd(Path(folder)) as private:
            starts = [await containerd_start(private.process) for _ in range(ROUNDS)]
            runtime = await Containerd.connect(private.socket)
            await bare_cri_one(runtime, cgroup=private.cgroup)  # the first one warms the page cache
            ones = [await bare_cri_one(runtime, cgroup=private.cgroup) for _ in range(ROUNDS)]
            many = [await bare_cri_many(runtime, 20, cgroup=private.cgroup) for _ in range(3)]
            await runtime.close()
    print(f"containerd start until CRI answers   {statistics.median(starts) * 1000:8.0f} ms")
    print(f"bare CRI, one pod until it runs      {statistics.median(ones) * 1000:8.0f} ms")
    print(f"bare CRI, 20 pods at once            {statistics.median(many) * 1000:8.0f} ms")


if __name__ == "__main__":
    uvloop.run(measure())
