"""What pods use of the node's disk: writable layers, logs and volumes, in bytes and inodes.

Trees are measured at most once a minute for each pod and only when somebody asks, since that reads every
directory entry.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.kubelet.volumes.usage import VolumeUsage, volume_usage
from minikube_py.meta.objects import Obj, containers_of, name_of, namespace_of, uid_of

KEPT = 60.0
"""Seconds for which a measurement counts."""


@dataclass(frozen=True, slots=True)
class PodDisk:
    """Logs by container name, volumes by their name."""

    logs: Mapping[str, VolumeUsage] = field(default_factory=dict)
    volumes: Mapping[str, VolumeUsage] = field(default_factory=dict)


def measured(path: Path) -> VolumeUsage | None:
    """The usage of a folder, None where it has gone. Blocking."""
    try:
        return volume_usage(path)
    except OSError:
        return None


def measure(pod: Obj, config: KubeletConfig, mounted: Mapping[str, Mounted]) -> PodDisk:
    """What the pod's logs and volumes take. Blocking."""
    logs = config.pod_log_dir(namespace_of(pod), name_of(pod), uid_of(pod))
    names = [container["name"] for container in containers_of(pod["spec"])]
    found = {name: measured(logs / name) for name in names}
    volumes = {n: measured(v.path) for n, v in mounted.items() if not v.device and not _is_host(pod, n)}
    return PodDisk(
        {name: usage for name, usage in found.items() if usage is not None},
        {name: usage for name, usage in volumes.items() if usage is not None},
    )


def _is_host(pod: Obj, name: str) -> bool:
    """Whether a volume is a folder of the node, which is not the pod's to count."""
    return any(v["name"] == name and "hostPath" in v for v in pod["spec"].get("volumes") or ())


def local_volumes(pod: Obj) -> set[str]:
    """The volumes of a pod that take up the node's own disk."""
    local = ("configMap", "downwardAPI", "projected", "secret", "gitRepo")
    return {
        volume["name"]
        for volume in pod["spec"].get("volumes") or ()
        if any(kind in volume for kind in local)
        or (volume.get("emptyDir") is not None and volume["emptyDir"].get("medium") in (None, ""))
    }


class DiskMeter:
    """Measures pods; `mounted` gives the volumes that are made of a pod, by its uid, `ask` what the driver of
    the volume at a path says of it."""

    def __init__(
        self,
        clock: Clock,
        config: KubeletConfig,
        mounted: Callable[[str], Mapping[str, Mounted]],
        ask: Callable[[Path], Awaitable[VolumeUsage | None]],
    ) -> None:
        self._clock, self._config, self._mounted, self._ask = clock, config, mounted, ask
        self._known: dict[str, tuple[float, PodDisk]] = {}

    async def of(self, pods: list[Obj]) -> dict[str, PodDisk]:
        """What each pod takes, by uid."""
        now = self._clock.monotonic()
        self._known = {uid: known for uid, known in self._known.items() if now - known[0] < KEPT}
        due = [(pod, dict(self._mounted(uid_of(pod)))) for pod in pods if uid_of(pod) not in self._known]
        if due:
            found = await asyncio.to_thread(lambda: [measure(pod, self._config, made) for pod, made in due])
            for (pod, made), disk in zip(due, found, strict=True):
                self._known[uid_of(pod)] = now, await self._asked(disk, made)
        return {uid_of(pod): self._known[uid_of(pod)][1] for pod in pods if uid_of(pod) in self._known}

    async def _asked(self, disk: PodDisk, made: Mapping[str, Mounted]) -> PodDisk:
        """`disk` with what drivers say in the place of what was measured."""
        volumes = {name: await self._ask(made[name].path) or usage for name, usage in disk.volumes.items()}
        return replace(disk, volumes=volumes)
