"""UsageReader: reads what this node's pods use, when somebody asks, in one thread call for all of them.

Nothing is read while nobody asks. CPU rates come from the reading before, if that is neither too fresh nor too
old; whoever needs them (`rates`) waits half a second for a second reading where there is none.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.cm.qos import cgroup_path
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stats.usage import ContainerUse, PodUsage, Use, read_network, read_use
from minikube_py.meta.objects import Obj, name_of, namespace_of, uid_of
from minikube_py.runtime.base import Container, ContainerStats, Sandbox

FRESH, STALE = 5.0, 120.0
"""Seconds between which a reading can be compared with the next one."""
BETWEEN = 0.5
"""Seconds between two readings for a rate."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read of one pod; `network` is the id of the sandbox where it has a network of its own."""

    pod: Obj
    path: str
    sandbox: Sandbox
    network: str
    containers: tuple[Container, ...]


class UsageReader:
    """Reads the pods that `pods` gives (their objects). `hierarchies`: where cgroups are."""

    def __init__(self, shared: Shared, hierarchies: Hierarchies, pods: Callable[[], Iterable[Obj]]) -> None:
        self._shared, self._at, self._pods = shared, hierarchies, pods
        self._before: tuple[float, Mapping[str, int]] = (0.0, {})
        self._latest: tuple[float, Mapping[str, int]] = (0.0, {})

    async def read(self, *, disk: bool = False) -> list[PodUsage]:
        """Every pod that runs something; with their writable layers where `disk`, which asks the runtime.
        Errors: RuntimeFailed, TimeoutError."""
        wanted = self.wanted()
        alone = not self._shared.config.cgroup_root
        stats = await self._shared.runtime.monitor.stats() if disk or alone else ()
        measured = {entry.container_id: entry for entry in stats}
        found = await asyncio.to_thread(self._read_all, wanted, measured)
        return self._with_rates(found)

    async def rates(self, *, disk: bool = False) -> list[PodUsage]:
        """As `read`, with the CPU rates of all that has not just begun."""
        found = await self.read(disk=disk)
        if all(usage.cpu_rates for usage in found):
            return found
        await self._shared.clock.sleep(BETWEEN)
        self._before = self._latest
        return await self.read(disk=disk)

    def wanted(self) -> list[Wanted]:
        """Every pod that runs something, and where to look for it."""
        return [found for pod in self._pods() if (found := self._wanted(pod)) is not None]

    def _wanted(self, pod: Obj) -> Wanted | None:
        runtime = self._shared.view.of(uid_of(pod))
        sandbox = runtime.ready_sandbox()
        running = tuple(c for c in runtime.containers.values() if c.state == "running")
        if sandbox is None:
            return None
        root = self._shared.config.cgroup_root
        path = cgroup_path(root, pod) if root else ""
        network = "" if sandbox.network_namespace_is_host else sandbox.id
        return Wanted(pod, path, sandbox, network, running)

    def _read_all(self, wanted: list[Wanted], measured: Mapping[str, ContainerStats]) -> list[PodUsage]:
        return [self._read(each, measured) for each in wanted]

    def _read(self, wanted: Wanted, measured: Mapping[str, ContainerStats]) -> PodUsage:
        pod, containers = wanted.pod, []
        for container in wanted.containers:
            path = f"{wanted.path}/{container.id}" if wanted.path else ""
            stats = measured.get(container.id)
            use = (read_use(self._at, path) if path else None) or (of_runtime(stats) if stats else None)
            if use is not None:
                disk = (stats.disk_used, stats.inodes_used) if stats else (0, 0)
                containers.append(ContainerUse(container, use, path, *disk))
        whole = read_use(self._at, wanted.path) if wanted.path else None
        network = f"{wanted.path}/{wanted.network}" if wanted.path and wanted.network else ""
        return PodUsage(
            uid_of(pod),
            namespace_of(pod),
            name_of(pod),
            wanted.sandbox.created_at,
            wanted.path,
            whole or total(containers),
            containers,
            read_network(self._at, network) if network else (),
        )

    def _with_rates(self, found: list[PodUsage]) -> list[PodUsage]:
        now = self._shared.clock.monotonic()
        uses = {usage.uid: usage.use.cpu for usage in found}
        uses |= {c.container.id: c.use.cpu for usage in found for c in usage.containers}
        if now - self._latest[0] >= FRESH:
            self._before = self._latest
        self._latest = (now, uses)
        at, before = self._before
        if not 0 < now - at < STALE:
            return found

        def rate(key: str) -> int | None:
            return max(0, int((uses[key] - before[key]) / (now - at))) if key in before else None

        result = []
        for usage in found:
            rates = {"": rate(usage.uid)} | {c.container.name: rate(c.container.id) for c in usage.containers}
            known = {name: value for name, value in rates.items() if value is not None}
            result.append(replace(usage, cpu_rates=known))
        return result


def of_runtime(stats: ContainerStats) -> Use:
    """The use of a container as the runtime tells it."""
    return Use(
        cpu=stats.cpu_nanoseconds,
        working_set=stats.memory_working_set,
        memory=stats.memory_working_set,
        rss=stats.memory_rss,
    )


def total(containers: Iterable[ContainerUse]) -> Use:
    """The use of several containers together."""
    each = [container.use for container in containers]
    return Use(
        cpu=sum(use.cpu for use in each),
        working_set=sum(use.working_set for use in each),
        memory=sum(use.memory for use in each),
        rss=sum(use.rss for use in each),
        processes=sum(use.processes for use in each),
    )
