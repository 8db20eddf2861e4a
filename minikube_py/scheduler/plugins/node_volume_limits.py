"""NodeVolumeLimits: a CSI driver attaches no more volumes to a node than its CSINode says."""

from collections.abc import Iterator
from typing import Any

from minikube_py.kinds.storage.csinode import CSINode
from minikube_py.meta.objects import Key, Obj, dig, key_of, name_of
from minikube_py.scheduler.framework import SKIP, Change, Plugin, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Objects, Snapshot
from minikube_py.scheduler.volumes import claims_of, class_of, volume_of


class NodeVolumeLimits(Plugin):
    """spec.drivers[].allocatable.count of the node's CSINode; a volume that several pods use counts once."""

    order = 11
    wakes_on = (Change.NODE_ADDED, Change.POD_FREED, Change.CLAIM, Change.CSI)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        if not pod.spec.get("volumes"):
            return SKIP
        wanted = set(attached(pod, snapshot.objects))
        return (wanted, snapshot.objects) if wanted else SKIP

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        wanted, objects = prepared
        limits = limits_of(objects.get(CSINode, Key("", node.name)))
        if not any(driver in limits for driver, _ in wanted):
            return None
        there = {one for other in node.pods.values() for one in attached(other, objects)}
        for driver in {driver for driver, _ in wanted - there if driver in limits}:
            if sum(one[0] == driver for one in wanted | there) > limits[driver]:
                return reject("node(s) exceed max volume count")
        return None


def limits_of(csi_node: Obj | None) -> dict[str, int]:
    """How many volumes each driver attaches; drivers that say nothing are left out."""
    drivers = dig(csi_node, "spec.drivers") or ()
    counts = ((driver["name"], dig(driver, "allocatable.count")) for driver in drivers)
    return {name: int(count) for name, count in counts if count is not None}


def attached(pod: PodInfo, objects: Objects) -> Iterator[tuple[str, str]]:
    """(driver, volume) of each CSI volume that the pod uses; a claim without a volume stands for the one that
    its class will make."""
    if not pod.spec.get("volumes"):
        return
    for claim in claims_of(pod, objects):
        volume = volume_of(claim, objects)
        if volume is None:
            provisioner = (class_of(claim, objects) or {}).get("provisioner")
            if provisioner:
                yield provisioner, str(key_of(claim))
        elif source := dig(volume, "spec.csi"):
            yield source["driver"], source.get("volumeHandle") or name_of(volume)
