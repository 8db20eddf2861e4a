"""Scrape: reads every cgroup of this node's pods and of what is above them, and writes /metrics/cadvisor.

Nothing is read while nobody asks. Reading and writing happen in a thread: 50 pods take some 100 ms of it, and
of the loop the two milliseconds in which the runtime tells of writable layers.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from minikube_py.kubelet.cm.cgroups import Hierarchies
from minikube_py.kubelet.node.machine import Machine, cpu_topology
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stats.cadvisor import cadvisor_lines
from minikube_py.kubelet.stats.cgroup import Cgroup, read_cgroup
from minikube_py.kubelet.stats.disks import device_of
from minikube_py.kubelet.stats.exposition import Metric
from minikube_py.kubelet.stats.series import GAUGE, Filesystem, Row
from minikube_py.kubelet.stats.usage import Interface, machine_interfaces, read_network
from minikube_py.kubelet.stats.usage_reader import UsageReader, Wanted, of_runtime
from minikube_py.meta.objects import name_of, namespace_of
from minikube_py.runtime.base import Container, ContainerStats, RuntimeFailed
from minikube_py.runtime.pause import IMAGE

log = logging.getLogger(__name__)

VERSION = "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor "
VERSION += "version & cadvisor revision."
NOBODY = dict.fromkeys(("container", "id", "image", "name", "namespace", "pod"), "")


class Scrape:
    """See the module."""

    def __init__(self, shared: Shared, hierarchies: Hierarchies, usage: UsageReader) -> None:
        self._shared, self._at, self._usage = shared, hierarchies, usage

    async def page(self, machine: Machine) -> str:
        """The page; where the runtime does not tell of writable layers it says so and goes without."""
        wanted, failed = self._usage.wanted(), False
        measured: dict[str, ContainerStats] = {}
        try:
            measured = {each.container_id: each for each in await self._shared.runtime.monitor.stats()}
        except (RuntimeFailed, TimeoutError) as error:
            failed = True
            log.warning("the container runtime does not tell what containers use: %s", error)
        now = self._shared.clock.now().timestamp()
        return await asyncio.to_thread(self._page, machine, wanted, measured, (now, failed))

    def _page(
        self,
        machine: Machine,
        wanted: Sequence[Wanted],
        measured: Mapping[str, ContainerStats],
        told: tuple[float, bool],
    ) -> str:
        now, failed = told
        rows = [*self._above(machine)]
        layers = filesystem(self._shared.config.image_disk)
        for each in wanted:
            rows += self._of_pod(each, measured, layers)
        errors = Metric(
            "container_scrape_error",
            GAUGE,
            "1 if there was an error while getting container metrics, 0 otherwise",
            [({}, float(failed))],
        )
        lines = [*_version(machine).lines(), *cadvisor_lines(rows, now), *errors.lines()]
        lines += [line for metric in machine_metrics(machine) for line in metric.lines()]
        return "\n".join([*lines, ""])

    def _above(self, machine: Machine) -> Iterator[Row]:
        """The machine's topmost cgroup, that of all pods, and the two tiers in it."""
        if not self._at.roots():
            return
        whole = read_cgroup(self._at, "/")
        if whole is not None:
            disks = [filesystem(folder) for folder in self._folders()]
            yield _row({"id": "/"}, whole, machine.memory, machine_interfaces(), disks)
        if root := self._shared.config.cgroup_root:
            for path in (root, f"{root}/besteffort", f"{root}/burstable"):
                if (found := read_cgroup(self._at, path)) is not None:
                    yield _row({"id": path}, found)

    def _folders(self) -> list[Path]:
        """A folder on each disk of the node's: its own, and that of images where it is another one."""
        root, images = self._shared.config.root_dir, self._shared.config.image_disk
        return [root] if os.stat(root).st_dev == os.stat(images).st_dev else [root, images]

    def _of_pod(
        self, wanted: Wanted, measured: Mapping[str, ContainerStats], layers: Filesystem
    ) -> Iterator[Row]:
        named = {"namespace": namespace_of(wanted.pod), "pod": name_of(wanted.pod)}
        path = wanted.path
        if path and (whole := read_cgroup(self._at, path)) is not None:
            yield _row({"id": path, **named}, whole)
        place = f"{path}/{wanted.sandbox.id}"
        if path and (pause := read_cgroup(self._at, place)) is not None:
            network = read_network(self._at, place) if wanted.network else ()
            labels = {"id": place, "image": IMAGE, "name": wanted.sandbox.id, **named}
            began = wanted.sandbox.created_at
            yield Row({**NOBODY, **labels}, pause, began, began, network=network)
        for container in wanted.containers:
            place, stats = f"{path}/{container.id}", measured.get(container.id)
            found = read_cgroup(self._at, place) if path else None
            if found is None and stats is not None:
                found = Cgroup(of_runtime(stats))
            if found is not None:
                disks = [replace(layers, used=stats.disk_used)] if stats is not None else []
                yield _of_container(container, named | {"id": place if path else ""}, found, disks)


def _of_container(
    container: Container, named: Mapping[str, str], cgroup: Cgroup, disks: Sequence[Filesystem]
) -> Row:
    labels = {"container": container.name, "image": container.image, "name": container.id, **named}
    began = container.started_at or container.created_at
    return Row({**NOBODY, **labels}, cgroup, container.created_at, began, filesystems=disks)


def _row(
    labels: Mapping[str, str],
    cgroup: Cgroup,
    memory: int = 0,
    network: Sequence[Interface] = (),
    disks: Sequence[Filesystem] = (),
) -> Row:
    return Row({**NOBODY, **labels}, cgroup, cgroup.created, cgroup.created, memory, network, disks)


def filesystem(folder: Path) -> Filesystem:
    """The file system that holds `folder`. Errors: OSError."""
    disk = os.statvfs(folder)
    size, free = disk.f_blocks * disk.f_frsize, disk.f_bfree * disk.f_frsize
    return Filesystem(device_of(str(folder)), size, size - free, disk.f_files, disk.f_ffree)


def _version(machine: Machine) -> Metric:
    told = {"cadvisorRevision": "", "cadvisorVersion": "", "dockerVersion": ""}
    told |= {"kernelVersion": machine.kernel, "osVersion": machine.os_image}
    return Metric("cadvisor_version_info", GAUGE, VERSION, [(told, 1.0)])


def machine_metrics(machine: Machine) -> list[Metric]:
    """What the machine is."""
    labels = {"boot_id": machine.boot_id, "machine_id": machine.machine_id, "system_uuid": machine.system_uuid}
    physical, sockets = cpu_topology()

    def gauge(name: str, help: str, value: float) -> Metric:
        return Metric(f"machine_{name}", GAUGE, help, [(labels, value)])

    error = "1 if there was an error while getting machine metrics, 0 otherwise."
    return [
        gauge("cpu_cores", "Number of logical CPU cores.", machine.cores),
        gauge("cpu_physical_cores", "Number of physical CPU cores.", physical),
        gauge("cpu_sockets", "Number of CPU sockets.", sockets),
        gauge("memory_bytes", "Amount of memory installed on the machine.", machine.memory),
        Metric("machine_scrape_error", GAUGE, error, [({}, 0.0)]),
        gauge("swap_bytes", "Amount of swap memory available on the machine.", machine.swap),
    ]
