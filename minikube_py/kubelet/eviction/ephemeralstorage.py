"""Limits of local ephemeral storage: what pods use of the node's disk, and which of them use too much.

Counted are the writable layers of containers, their logs, and emptyDir volumes on disk. Every ten seconds the
pods that have such a limit are measured (no other pod costs anything); one that is above it is evicted at once,
in the order and words of the kubelet: emptyDir volumes, the pod, its containers. Limits: a container may use
more than its limit until it is measured, and what it deletes before that was never seen.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.kinds.podspec.totals import pod_limits
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.disk_use import measured
from minikube_py.kubelet.kuberuntime.view import CONTAINER_NAME, POD_UID, RuntimeView
from minikube_py.meta.objects import Obj, dig, name_of, namespace_of, uid_of
from minikube_py.meta.quantity import canonical, int_value
from minikube_py.runtime.base import Monitor, RuntimeFailed

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds
RESOURCE = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on the node's disk: writable layer and logs by container, and by emptyDir volume."""

    containers: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)


def is_limited(pod: Obj) -> bool:
    """Whether the pod has a limit of local storage."""
    spec = pod["spec"]
    limits = [dig(holder, f"resources.limits.{RESOURCE}") for holder in (spec, *spec["containers"])]
    return any(limit is not None for limit in limits) or bool(_disk_volumes(spec, limited=True))


def _disk_volumes(spec: Obj, *, limited: bool) -> dict[str, str]:
    """The emptyDir volumes on disk, and their size limits ('' for none); `limited`: those that have one."""
    found = {
        volume["name"]: volume["emptyDir"].get("sizeLimit") or ""
        for volume in spec.get("volumes") or ()
        if volume.get("emptyDir") is not None and not volume["emptyDir"].get("medium")
    }
    return {name: size for name, size in found.items() if not limited or (size and int_value(size))}


def excess(pod: Obj, usage: Usage) -> str:
    """What the pod uses too much of, in the kubelet's words; empty where it keeps within its limits."""
    spec = pod["spec"]
    for name, size in _disk_volumes(spec, limited=True).items():
        if usage.volumes.get(name, 0) > int_value(size):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{canonical(size)}". '
    whole = pod_limits(spec).get(RESOURCE)
    used = sum(usage.containers.values()) + sum(usage.volumes.values())
    if whole is not None and used > int_value(whole):
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {canonical(whole)}. "
    for container in spec["containers"]:
        limit = dig(container, f"resources.limits.{RESOURCE}")
        if limit and int_value(limit) and usage.containers.get(container["name"], 0) > int_value(limit):
            size = canonical(limit)
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{size}". '
    return ""


def disk_usage(folder: Path) -> int:
    """Bytes that a folder takes; 0 for one that is gone."""
    usage = measured(folder)
    return 0 if usage is None else usage.used


def measure(pod: Obj, config: KubeletConfig, layers: Mapping[str, int]) -> Usage:
    """What the pod uses; `layers` is the writable layer of each of its containers. Blocks while it reads."""
    uid = uid_of(pod)
    logs = config.pod_log_dir(namespace_of(pod), name_of(pod), uid)
    names = {*layers, *(container["name"] for container in pod["spec"]["containers"])}
    volumes = config.pod_dir(uid) / "volumes" / "kubernetes.io~empty-dir"
    return Usage(
        {name: layers.get(name, 0) + disk_usage(logs / name) for name in names},
        {name: disk_usage(volumes / name) for name in _disk_volumes(pod["spec"], limited=False)},
    )


Evict = Callable[[str, str], None]
"""End a pod by its uid; the message says why."""


class StorageLimits:
    """Enforces the limits of the pods that `pods` gives."""

    def __init__(
        self, config: KubeletConfig, clock: Clock, monitor: Monitor, pods: Callable[[], Iterable[Obj]]
    ) -> None:
        self._config, self._clock, self._monitor, self._pods = config, clock, monitor, pods

    async def run(self, view: RuntimeView, evict: Evict) -> None:
        """Look every ten seconds until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL)
            limited = [pod for pod in self._pods() if is_limited(pod)]
            if not limited:
                continue
            try:
                layers = await self._layers(view)
            except (RuntimeFailed, TimeoutError) as error:
                log.debug("cannot measure the pods' disk usage: %s", error)
                continue
            for pod in limited:
                uid = uid_of(pod)
                used = await asyncio.to_thread(measure, pod, self._config, layers.get(uid, {}))
                if why := excess(pod, used):
                    evict(uid, why)

    async def _layers(self, view: RuntimeView) -> dict[str, dict[str, int]]:
        """The bytes of writable layers, by pod uid and container name."""
        found: dict[str, dict[str, int]] = {}
        for stats in await self._monitor.stats():
            container = view.find(stats.container_id)
            if container is not None:
                names = found.setdefault(container.labels[POD_UID], {})
                names[container.labels.get(CONTAINER_NAME, container.name)] = stats.disk_used
        return found
