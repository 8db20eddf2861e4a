"""DynamicResources: a pod goes where its claims on devices are served, or can be."""

from typing import Any

from minikube_py.kinds.resource.podclaims import claims_of
from minikube_py.meta.objects import Key, dig, key_of
from minikube_py.scheduler.devices.claims import read_devices, serve
from minikube_py.scheduler.framework import SKIP, Change, Happening, Plugin, Reject
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot


class DynamicResources(Plugin):
    """spec.resourceClaims. Limits: claims that were allocated elsewhere are freed by the controller of claims,
    not here; devices of features that are off (partitions, taints, binding conditions) are plain ones."""

    order = 20
    wakes_on = (Change.NODE_ADDED, Change.NODE_LABELS, Change.DEVICES)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        if not pod.spec.get("resourceClaims"):
            return SKIP
        return read_devices(pod, snapshot.objects, snapshot.allocating)

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        served = serve(prepared, node.node)
        return served if isinstance(served, Reject) else None

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        """A new claim helps those that need it; one that is freed, a class or a slice may help all."""
        new, old = happening.new or {}, happening.old
        if new.get("kind") != "ResourceClaim" or dig(old, "status.allocation") is not None:
            return True
        mine = {Key(pod.key.namespace, name) for _, name, _ in claims_of(pod.pod) if name}
        return key_of(new) in mine
