"""Pressure: what keeps the node from running out of memory and disk, put together for one kubelet.

Measuring, image garbage collection and evictions, wired to the runtime's view and to what `Rest` gives.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from minikube_py.kubelet.cm.cgroups import find
from minikube_py.kubelet.eviction.evictor import Evictor, Node
from minikube_py.kubelet.eviction.reclaim import Reclaim
from minikube_py.kubelet.eviction.thresholds import Observations
from minikube_py.kubelet.images.image_gc import ImageGc
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stats.measuring import Measuring
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.meta.objects import Obj
from minikube_py.runtime.pause import IMAGE


@dataclass(frozen=True, slots=True)
class Rest:
    """The rest of the kubelet: its pods, the volumes of one (by uid), how to evict one (uid, message, grace),
    an event about the node (type, reason, message), that pressures have changed, and the signals (blocking)."""

    pods: Callable[[], list[Obj]]
    mounted: Callable[[str], Mapping[str, Mounted]]
    evict: Callable[[str, str, float], None]
    tell: Callable[[str, str, str], None]
    changed: Callable[[], None]
    read: Callable[[], Observations]


class Pressure:
    """One kubelet's `measuring`, `images` and `evictor`."""

    def __init__(self, shared: Shared, rest: Rest) -> None:
        config, view = shared.config, shared.view
        hierarchies = find(Path("/proc/mounts").read_text() if config.cgroup_root else "")
        self.measuring = Measuring(shared, hierarchies, rest.pods, rest.mounted, rest.read)

        def in_use() -> set[str]:
            containers = [c for uid in view.uids() for c in view.of(uid).containers.values()]
            return {IMAGE, *(c.image for c in containers), *(c.image_id for c in containers)}

        def warn(reason: str, message: str) -> None:
            rest.tell("Warning", reason, message)

        def is_gone(uid: str) -> bool:
            return all(container.state != "running" for container in view.of(uid).containers.values())

        self.images = ImageGc(shared.runtime.images, shared.clock, config.image_gc, in_use, warn)
        self.images.collected = lambda reason: shared.metrics.collected_images.add((reason,))
        node = Node(
            read=rest.read,
            measure=self.measuring.uses,
            reclaim=Reclaim(shared, self.images, rest.pods),
            evict=rest.evict,
            is_gone=is_gone,
            tell=rest.tell,
            changed=rest.changed,
            count=lambda signal: shared.metrics.evictions.add((signal,)),
        )
        self.evictor = Evictor(config, shared.clock, node)
