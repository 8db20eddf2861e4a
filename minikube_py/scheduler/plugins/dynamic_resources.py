"""DynamicResources: pods that need resource claims wait, as no driver of this cluster can allocate one."""

from typing import Any

from minikube_py.scheduler.framework import SKIP, Plugin, Reject, reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot


class DynamicResources(Plugin):
    """spec.resourceClaims, refused on every node."""

    order = 20
    wakes_on = ()

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        return pod.spec.get("resourceClaims") or SKIP

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        return reject("cannot allocate all claims", resolvable=False)
