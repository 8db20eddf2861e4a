"""Measuring: what the node and its pods use, put together for whoever asks: the server, and evictions.

Nothing is measured while nobody asks.
"""

import asyncio
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.eviction.disk_use import DiskMeter, PodDisk
from minikube_py.kubelet.eviction.ranking import PodUse
from minikube_py.kubelet.eviction.thresholds import Observations
from minikube_py.kubelet.node.machine import Machine, cpu_seconds, memory_fields, uptime
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stats.pressure import read_pressures
from minikube_py.kubelet.stats.scrape import Scrape
from minikube_py.kubelet.stats.summary import NodeUsage, PodRecord, disk_total
from minikube_py.kubelet.stats.usage import PodUsage, Use, machine_interfaces, read_use
from minikube_py.kubelet.stats.usage_reader import FRESH, UsageReader
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.kubelet.volumes.csistats import driver_usage
from minikube_py.meta.objects import Obj, uid_of


class Measuring:
    """See the module. `pods` gives this node's pods, `mounted` the volumes of one by its uid, `signals` the
    state of the machine (blocking)."""

    def __init__(
        self,
        shared: Shared,
        hierarchies: Hierarchies,
        pods: Callable[[], Iterable[Obj]],
        mounted: Callable[[str], Mapping[str, Mounted]],
        signals: Callable[[], Observations],
    ) -> None:
        self._shared, self._at, self._pods, self._signals = shared, hierarchies, pods, signals
        self._usage = UsageReader(shared, hierarchies, pods)
        self._scrape = Scrape(shared, hierarchies, self._usage)
        self._disk = DiskMeter(shared.clock, shared.config, mounted, partial(driver_usage, shared.storage))
        self._before = (0.0, 0.0)

    async def usage(self, *, disk: bool = False) -> list[PodUsage]:
        """What every running pod uses now. Errors: RuntimeFailed, TimeoutError."""
        return await self._usage.read(disk=disk)

    async def cadvisor(self, machine: Machine) -> str:
        """The page /metrics/cadvisor."""
        return await self._scrape.page(machine)

    async def records(self) -> list[PodRecord]:
        """Every running pod with all that it uses, CPU rates and disk too. Errors: RuntimeFailed."""
        found = await self._usage.rates(disk=True)
        pods = {uid_of(pod): pod for pod in self._pods()}
        known = [(pods[usage.uid], usage) for usage in found if usage.uid in pods]
        disks = await self._disk.of([pod for pod, _ in known])
        return [PodRecord(pod, usage, disks[usage.uid]) for pod, usage in known if usage.uid in disks]

    async def volumes(self) -> list[tuple[Obj, PodDisk]]:
        """Every pod with what its logs and volumes hold."""
        pods = list(self._pods())
        found = await self._disk.of(pods)
        return [(pod, found[uid_of(pod)]) for pod in pods if uid_of(pod) in found]

    async def uses(self) -> list[PodUse]:
        """Every running pod as evictions rank it. Errors: RuntimeFailed, TimeoutError."""
        result = []
        for record in await self.records():
            stored, inodes = disk_total(record)
            use, logs = record.usage.use, record.disk.logs
            containers = {
                each.container.name: {
                    "memory": each.use.working_set,
                    "ephemeral-storage": each.disk
                    + (logs[each.container.name].used if each.container.name in logs else 0),
                }
                for each in record.usage.containers
            }
            used = {
                "memory": use.working_set,
                "ephemeral-storage": stored,
                "inodes": inodes,
                "pids": use.processes,
            }
            result.append(PodUse(record.pod, used, containers))
        return result

    async def node(self, *, images: bool = False) -> NodeUsage:
        """The machine now; `images`: with the size of all images. Errors: RuntimeFailed, OSError."""
        sizes = [image.size for image in await self._shared.runtime.images.list()] if images else []
        return await asyncio.to_thread(self._read_node, sum(sizes))

    def _read_node(self, images: int) -> NodeUsage:
        clock, config = self._shared.clock, self._shared.config
        now, seconds, (at, before) = clock.monotonic(), cpu_seconds(), self._before
        rate = max(0, int((seconds - before) / (now - at) * 1e9)) if at and now > at else None
        if now - at >= FRESH:
            self._before = (now, seconds)
        whole = read_use(self._at, config.cgroup_root) if config.cgroup_root else None
        return NodeUsage(
            config.node_name,
            clock.now(),
            clock.now() - timedelta(seconds=uptime()),
            seconds,
            self._signals(),
            rate,
            machine_interfaces(),
            images,
            {"kubelet": own_use()} | ({"pods": whole} if whole else {}),
            read_pressures(self._at.unified) if self._at.v2 and self._at.unified is not None else {},
            _swap(),
        )


def _swap() -> tuple[int, int]:
    fields = memory_fields()
    return fields.get("SwapTotal", 0), fields.get("SwapFree", 0)


def own_use() -> Use:
    """What this process uses."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    size = pages * resource.getpagesize()
    return Use(
        cpu=time.process_time_ns(),
        working_set=size,
        memory=size,
        rss=size,
        page_faults=usage.ru_minflt + usage.ru_majflt,
        major_faults=usage.ru_majflt,
        processes=1,
    )
