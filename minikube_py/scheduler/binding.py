"""Binding: a decision becomes true in the API. First the pod's volumes, then the pod.

Volumes that are matched are set aside for their claims, claims that are to be provisioned are told their node;
then the pod waits until all are bound, ten minutes at most. What fails gives back what was assumed.
"""

import asyncio

from minikube_py.aio.clock import Clock, within
from minikube_py.client.base import MERGE_PATCH, Client
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.protection import DEVICES_PROTECTION, protected
from minikube_py.kinds.core.volumematching import BOUND_BY_CONTROLLER, SELECTED_NODE, claim_ref, refers_to
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.meta.objects import Obj, annotations_of, key_of, name_of, uid_of
from minikube_py.scheduler.devices.allocator import DevicePlan
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.volumes import VolumePlan, pending

BIND_TIMEOUT = 600.0
"""Seconds that volumes may take to be bound."""


class VolumesNotBound(Exception):
    """A pod's volumes were not bound; the message says why."""


class Binder:
    """Writes bindings and what goes before them."""

    def __init__(self, client: Client, clock: Clock, snapshot: Snapshot) -> None:
        self._client, self._clock, self._snapshot = client, clock, snapshot
        self._moved = asyncio.Event()

    def volumes_moved(self) -> None:
        """A claim or a volume has changed: those who wait look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def bind(self, info: PodInfo, node: str) -> None:
        """Assign the pod. Errors: ApiError."""
        await self._client.post(Pod, info.key, "binding", binding(info, node))

    def reserve(self, plan: VolumePlan) -> None:
        """Keep the plan's volumes from other claims."""
        for volume, claim in plan.matched:
            self._snapshot.reserved[name_of(volume)] = key_of(claim)

    async def bind_devices(self, plan: DevicePlan, info: PodInfo) -> None:
        """Write the allocations of the pod's claims, and reserve the claims for it. Errors: ApiError."""
        try:
            for key in plan.claims:
                claim = self._client.cache.get(ResourceClaim, key)
                if claim is None:
                    raise NotFound(f'resourceclaims.resource.k8s.io "{key.name}" not found')
                if key in plan.fresh and (guarded := protected(claim, DEVICES_PROTECTION)) is not None:
                    claim = await self._client.update(ResourceClaim, guarded)
                wanted = reserved(claim, info, plan.fresh.get(key))
                if wanted is not claim:
                    await self._client.update(ResourceClaim, wanted, subresource="status")
        except ApiError:
            self.forget(plan)
            raise

    def forget(self, plan: DevicePlan) -> None:
        """The plan's allocations will not be written."""
        for key in plan.fresh:
            self._snapshot.allocating.pop(key, None)

    async def bind_volumes(self, plan: VolumePlan, node: str) -> None:
        """Carry the plan out and wait for it. Errors: VolumesNotBound, ApiError."""
        try:
            for volume, claim in plan.matched:
                if not refers_to(volume, claim) or volume["spec"]["claimRef"].get("uid") != uid_of(claim):
                    body = claimed(volume, claim)
                    await self._client.patch(PersistentVolume, key_of(volume), body, type=MERGE_PATCH)
            for claim in plan.provisioned:
                if annotations_of(claim).get(SELECTED_NODE) != node:
                    body = selected(claim, node)
                    await self._client.patch(PersistentVolumeClaim, key_of(claim), body, type=MERGE_PATCH)
            await within(self._clock, BIND_TIMEOUT, self._until_bound(plan, node))
        except TimeoutError:
            raise VolumesNotBound("binding volumes: context deadline exceeded") from None
        finally:
            for volume, claim in plan.matched:
                if self._snapshot.reserved.get(name_of(volume)) == key_of(claim):
                    del self._snapshot.reserved[name_of(volume)]

    async def _until_bound(self, plan: VolumePlan, node: str) -> None:
        while True:
            found = pending(plan, node, self._client.cache)
            if isinstance(found, str):
                raise VolumesNotBound(f"binding volumes: {found}")
            if not found:
                return
            await self._moved.wait()


def reserved(claim: Obj, info: PodInfo, allocation: Obj | None) -> Obj:
    """The claim with its devices, reserved for the pod; the same object where it is so already."""
    status = claim.get("status") or {}
    users = status.get("reservedFor") or []
    if any(one.get("uid") == info.uid for one in users):
        return claim
    user = {"resource": "pods", "name": info.key.name, "uid": info.uid}
    devices = {"allocation": allocation} if allocation is not None else {}
    return {**claim, "status": {**status, **devices, "reservedFor": [*users, user]}}


def binding(info: PodInfo, node: str) -> Obj:
    """The Binding that assigns a pod to a node."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": info.key.name, "namespace": info.key.namespace, "uid": info.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def claimed(volume: Obj, claim: Obj) -> Obj:
    """The patch that sets a volume aside for a claim."""
    return {
        "metadata": {
            "resourceVersion": volume["metadata"]["resourceVersion"],
            "annotations": {BOUND_BY_CONTROLLER: "yes"},
        },
        "spec": {"claimRef": claim_ref(claim)},
    }


def selected(claim: Obj, node: str | None) -> Obj:
    """The patch that tells a claim its node; None takes it back."""
    return {
        "metadata": {
            "resourceVersion": claim["metadata"]["resourceVersion"],
            "annotations": {SELECTED_NODE: node},
        }
    }
