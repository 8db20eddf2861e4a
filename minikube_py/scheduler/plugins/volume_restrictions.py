"""VolumeRestrictions: a ReadWriteOncePod claim has one pod; some disks have one node's one pod that writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.scheduler.framework import SKIP, Change, Happening, Plugin, Reject, reject
from minikube_py.scheduler.plugins.volume_binding import is_claim_of
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot
from minikube_py.scheduler.volumes import claim_names, claims_of

ONE_POD = "ReadWriteOncePod"
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
CONFLICT = "node(s) had no available disk"
DISKS: Mapping[str, tuple[str, ...]] = {
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "iscsi": ("iqn", "lun"),
    "rbd": ("pool", "image"),
}
"""What identifies a disk that nodes attach for one writer."""
WRITES_ALONE = ("awsElasticBlockStore",)
"""Disks of which not even two readers share one."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The ReadWriteOncePod claims of the pod, as (namespace, name), the nodes where others use one, and its
    disks with whether they are only read."""

    in_use: bool
    disks: Mapping[tuple[Any, ...], bool]


class VolumeRestrictions(Plugin):
    """Claims and disks that the pods of the cluster, or of the node, already use."""

    order = 10
    wakes_on = (Change.NODE_ADDED, Change.POD_FREED, Change.CLAIM)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        if not pod.spec.get("volumes"):
            return SKIP
        modes = ((claim, dig(claim, "spec.accessModes", ())) for claim in claims_of(pod, snapshot.objects))
        alone = {name_of(claim) for claim, given in modes if ONE_POD in given}
        disks = dict(disks_of(pod.spec))
        if not alone and not disks:
            return SKIP
        return Prepared(bool(alone) and _used(pod, alone, snapshot), disks)

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if prepared.disks and any(
            disk in prepared.disks and not (prepared.disks[disk] and only_read and disk[0] not in WRITES_ALONE)
            for other in node.pods.values()
            for disk, only_read in disks_of(other.spec)
        ):
            return reject(CONFLICT)
        return reject(IN_USE) if prepared.in_use else None

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        freed = happening.pod
        if freed is None:
            return happening.change is not Change.CLAIM or is_claim_of(pod, happening)
        mine = {name for name, _ in claim_names(pod)}
        shares = freed.key.namespace == pod.key.namespace and any(n in mine for n, _ in claim_names(freed))
        disks = dict(disks_of(pod.spec))
        return shares or any(disk in disks for disk, _ in disks_of(freed.spec))


def disks_of(spec: Obj) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """(identity, whether it is only read) of each disk in a pod's volumes."""
    for volume in spec.get("volumes") or ():
        for source, fields in DISKS.items():
            if disk := volume.get(source):
                yield (source, *(disk.get(field) for field in fields)), bool(disk.get("readOnly"))


def _used(pod: PodInfo, claims: set[str], snapshot: Snapshot) -> bool:
    return any(
        other.key.namespace == pod.key.namespace and any(name in claims for name, _ in claim_names(other))
        for node in snapshot.nodes
        for other in node.pods.values()
        if other.spec.get("volumes")
    )
