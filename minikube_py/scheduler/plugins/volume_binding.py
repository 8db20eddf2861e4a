"""VolumeBinding: a pod goes where its claims' volumes can be reached, or found, or made."""

from typing import Any

from minikube_py.scheduler.framework import SKIP, Change, Happening, Plugin, Reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot
from minikube_py.scheduler.volumes import claim_names, plan_volumes, read_claims


class VolumeBinding(Plugin):
    """Bound claims, claims that wait for their first consumer, those that should be bound and are not."""

    order = 12
    wakes_on = (
        Change.NODE_ADDED,
        Change.NODE_LABELS,
        Change.CLAIM,
        Change.VOLUME,
        Change.STORAGE_CLASS,
        Change.CSI,
    )

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        if not claim_names(pod):
            return SKIP
        claims = read_claims(pod, snapshot.objects)
        return claims if isinstance(claims, Reject) else (claims, snapshot)

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        claims, snapshot = prepared
        plan = plan_volumes(claims, node, snapshot.objects, snapshot.reserved)
        return plan if isinstance(plan, Reject) else None

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        return happening.change is not Change.CLAIM or is_claim_of(pod, happening)


def is_claim_of(pod: PodInfo, happening: Happening) -> bool:
    """Whether what changed is a claim that the pod uses."""
    meta = (happening.new or {}).get("metadata") or {}
    return meta.get("namespace") == pod.key.namespace and any(
        meta.get("name") == name for name, _ in claim_names(pod)
    )
