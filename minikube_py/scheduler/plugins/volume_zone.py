"""VolumeZone: volumes that are labelled with zones are used in those zones only."""

from typing import Any

from minikube_py.meta.objects import labels_of
from minikube_py.scheduler.framework import SKIP, Change, Happening, Plugin, Reject, reject
from minikube_py.scheduler.plugins.volume_binding import is_claim_of
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot
from minikube_py.scheduler.volumes import claims_of, volume_of

BETA = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
LABELS = (*BETA, *BETA.values())


class VolumeZone(Plugin):
    """The zone and region labels of the volumes of bound claims; several values are joined by `__`."""

    order = 13
    wakes_on = (Change.NODE_ADDED, Change.NODE_LABELS, Change.CLAIM, Change.VOLUME, Change.STORAGE_CLASS)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        if not pod.spec.get("volumes"):
            return SKIP
        objects = snapshot.objects
        volumes = (volume_of(claim, objects) for claim in claims_of(pod, objects))
        wanted = [
            (key, frozenset(labels[key].split("__")))
            for volume in volumes
            if volume is not None
            for labels in (labels_of(volume),)
            for key in LABELS
            if key in labels
        ]
        return wanted or SKIP

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        labels = node.labels
        if not any(key in labels for key in LABELS):
            return None
        for key, zones in prepared:
            value = labels.get(key, labels.get(BETA.get(key, "")))
            if value not in zones:
                return reject("node(s) had no available volume zone", resolvable=False)
        return None

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        return happening.change is not Change.CLAIM or is_claim_of(pod, happening)
