"""The Summary of /stats/summary: what the node, its pods and their containers use. Pure.

Shapes and names are those of the kubelet's stats/v1alpha1. What is not known is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from minikube_py.kubelet.eviction.disk_use import PodDisk, local_volumes
from minikube_py.kubelet.eviction.thresholds import (
    IMAGEFS,
    IMAGEFS_INODES,
    MEMORY,
    NODEFS,
    NODEFS_INODES,
    PIDS,
    Observations,
    Observed,
)
from minikube_py.kubelet.stats.pressure import Pressures
from minikube_py.kubelet.stats.usage import ContainerUse, Interface, PodUsage, Use
from minikube_py.kubelet.volumes.usage import VolumeUsage
from minikube_py.meta.objects import Obj, timestamp

NOTHING = Observed(0, 0)


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """The machine as a whole at `now`. CPU in seconds since boot, its rate in nanocores; bytes."""

    name: str
    now: datetime
    booted: datetime
    cpu_seconds: float
    signals: Observations
    cpu_rate: int | None = None
    network: Sequence[Interface] = ()
    images_bytes: int = 0
    system: Mapping[str, Use] = field(default_factory=dict)
    """What system containers use: kubelet (this process) and pods (all of them)."""
    pressures: Pressures = field(default_factory=dict)
    swap: tuple[int, int] = (0, 0)
    """Bytes of swap in all, and free."""

    def signal(self, name: str) -> Observed:
        """A signal as it was read; zeros where it could not be."""
        return self.signals.get(name, NOTHING)


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod with what it uses."""

    pod: Obj
    usage: PodUsage
    disk: PodDisk = field(default_factory=PodDisk)


def summary(node: NodeUsage, pods: Sequence[PodRecord]) -> Obj:
    """The Summary object."""
    return {"node": _node(node), "pods": [_pod(record, node) for record in pods]}


def _node(node: NodeUsage) -> Obj:
    time, memory = timestamp(node.now), node.signal(MEMORY)
    pods, used = node.system.get("pods", Use()), memory.capacity - memory.available
    most, left = node.signal(PIDS).capacity, node.signal(PIDS).available
    swap, free = node.swap
    result = {
        "nodeName": node.name,
        "systemContainers": [
            {"name": name, "startTime": timestamp(node.booted), **_use(use, time)}
            for name, use in node.system.items()
        ],
        "startTime": timestamp(node.booted),
        "cpu": _cpu(int(node.cpu_seconds * 1e9), node.cpu_rate, time) | _psi(node.pressures, "cpu"),
        "memory": {
            "time": time,
            "availableBytes": memory.available,
            "usageBytes": used,
            "workingSetBytes": used,
            "rssBytes": pods.rss,
            "pageFaults": pods.page_faults,
            "majorPageFaults": pods.major_faults,
            **_psi(node.pressures, "memory"),
        },
        **_io(node.pressures, time),
        "fs": _disk(node, NODEFS, NODEFS_INODES),
        "runtime": {
            "imageFs": {**_disk(node, IMAGEFS, IMAGEFS_INODES), "usedBytes": node.images_bytes},
            "containerFs": _disk(node, IMAGEFS, IMAGEFS_INODES),
        },
        "rlimit": {"time": time, "maxpid": most, "curproc": most - left},
        "swap": {"time": time, "swapAvailableBytes": free, "swapUsageBytes": swap - free},
    }
    return result | ({"network": _network(node.network, time)} if node.network else {})


def _disk(node: NodeUsage, size: str, inodes: str) -> Obj:
    disk, found = node.signal(size), node.signal(inodes)
    return {
        "time": timestamp(node.now),
        "availableBytes": disk.available,
        "capacityBytes": disk.capacity,
        "usedBytes": disk.capacity - disk.available,
        "inodesFree": found.available,
        "inodes": found.capacity,
        "inodesUsed": found.capacity - found.available,
    }


def _cpu(nanoseconds: int, rate: int | None, time: str) -> Obj:
    known = {} if rate is None else {"usageNanoCores": rate}
    return {"time": time, **known, "usageCoreNanoSeconds": nanoseconds}


def _memory(use: Use, time: str) -> Obj:
    available = {"availableBytes": max(0, use.memory_limit - use.working_set)} if use.memory_limit else {}
    return {
        "time": time,
        **available,
        "usageBytes": use.memory,
        "workingSetBytes": use.working_set,
        "rssBytes": use.rss,
        "pageFaults": use.page_faults,
        "majorPageFaults": use.major_faults,
    }


def _use(use: Use, time: str, rate: int | None = None) -> Obj:
    found = use.pressures
    return {
        "cpu": _cpu(use.cpu, rate, time) | _psi(found, "cpu"),
        "memory": _memory(use, time) | _psi(found, "memory"),
        **_io(found, time),
    }


def _psi(found: Pressures, resource: str) -> Obj:
    return {"psi": found[resource].document()} if resource in found else {}


def _io(found: Pressures, time: str) -> Obj:
    return {"io": {"time": time, **_psi(found, "io")}} if "io" in found else {}


def _pod(record: PodRecord, node: NodeUsage) -> Obj:
    usage, disk, time = record.usage, record.disk, timestamp(node.now)
    result = {
        "podRef": {"name": usage.name, "namespace": usage.namespace, "uid": usage.uid},
        "startTime": moment(usage.began),
        "containers": [_container(each, record, node) for each in usage.containers],
        **_use(usage.use, time, usage.cpu_rates.get("")),
        "volume": [_volume(record.pod, name, used, time) for name, used in disk.volumes.items()],
        "ephemeral-storage": _ephemeral(record, node),
        "process_stats": {"process_count": usage.use.processes},
        "swap": {"time": time, "swapUsageBytes": usage.use.swap},
    }
    return result | ({"network": _network(usage.network, time)} if usage.network else {})


def _container(each: ContainerUse, record: PodRecord, node: NodeUsage) -> Obj:
    container, time = each.container, timestamp(node.now)
    logs = record.disk.logs.get(container.name)
    return {
        "name": container.name,
        "startTime": moment(container.started_at),
        **_use(each.use, time, record.usage.cpu_rates.get(container.name)),
        "rootfs": _disk(node, IMAGEFS, IMAGEFS_INODES) | {"usedBytes": each.disk, "inodesUsed": each.inodes},
        "logs": _disk(node, NODEFS, NODEFS_INODES)
        | {"usedBytes": logs.used if logs else 0, "inodesUsed": logs.inodes_used if logs else 0},
        "swap": {"time": time, "swapUsageBytes": each.use.swap},
    }


def claim_of_volume(pod: Obj, name: str) -> str:
    """The name of the claim that a volume of the pod is of; '' where it is of none."""
    source: Obj = next((v for v in pod["spec"].get("volumes") or () if v["name"] == name), {})
    if "ephemeral" in source:
        return f"{pod['metadata']['name']}-{name}"
    return (source.get("persistentVolumeClaim") or {}).get("claimName") or ""


def _volume(pod: Obj, name: str, used: VolumeUsage, time: str) -> Obj:
    claim = claim_of_volume(pod, name)
    ref = {"pvcRef": {"name": claim, "namespace": pod["metadata"]["namespace"]}} if claim else {}
    return {
        "time": time,
        "availableBytes": used.available,
        "capacityBytes": used.capacity,
        "usedBytes": used.used,
        "inodesFree": used.inodes_free,
        "inodes": used.inodes,
        "inodesUsed": used.inodes_used,
        "name": name,
        **ref,
    }


def disk_total(record: PodRecord) -> tuple[int, int]:
    """Bytes and inodes of the node's own disk that a pod takes: writable layers, logs and local volumes."""
    local = local_volumes(record.pod)
    trees = [*record.disk.logs.values()]
    trees += [used for name, used in record.disk.volumes.items() if name in local]
    layers = record.usage.containers
    return (
        sum(tree.used for tree in trees) + sum(each.disk for each in layers),
        sum(tree.inodes_used for tree in trees) + sum(each.inodes for each in layers),
    )


def _ephemeral(record: PodRecord, node: NodeUsage) -> Obj:
    used, inodes = disk_total(record)
    return _disk(node, NODEFS, NODEFS_INODES) | {"usedBytes": used, "inodesUsed": inodes}


def _network(found: Sequence[Interface], time: str) -> Obj:
    each = [
        {
            "name": one.name,
            "rxBytes": one.received,
            "rxErrors": one.receive_errors,
            "txBytes": one.sent,
            "txErrors": one.send_errors,
        }
        for one in found
    ]
    first = next((one for one in each if one["name"] == "eth0"), each[0])
    return {"time": time, **first, "interfaces": each}


def moment(seconds: float) -> str:
    """Seconds since the epoch as a timestamp."""
    return timestamp(datetime.fromtimestamp(seconds, UTC))
