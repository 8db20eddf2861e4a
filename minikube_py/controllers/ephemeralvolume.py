"""Ephemeral volume controller: makes the claims of pods' generic ephemeral volumes, owned by their pods.

A claim of that name that is not the pod's is left alone and told about; the pod waits. Claims go with their
pods, by the garbage collector.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.errors import AlreadyExists, ApiError
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    controller_of,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

CLAIMS = "ephemeral-claims"


def claims_of(pod: Obj) -> list[tuple[str, Obj]]:
    """(name, template) of each claim that is made for the pod."""
    volumes = dig(pod, "spec.volumes") or ()
    found = ((volume["name"], dig(volume, "ephemeral.volumeClaimTemplate")) for volume in volumes)
    return [(f"{name_of(pod)}-{name}", template) for name, template in found if template is not None]


def claim_for(pod: Obj, name: str, template: Obj) -> Obj:
    """The claim `name` of a pod, from its volume's template."""
    asked = template.get("metadata") or {}
    metadata = {field: asked[field] for field in ("annotations", "labels") if asked.get(field)}
    owner = owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": namespace_of(pod),
            "ownerReferences": [owner],
            **metadata,
        },
        "spec": template["spec"],
    }


def plan(pod: Obj, claims: Mapping[str, Obj]) -> tuple[list[Obj], list[str]]:
    """The claims to make for a pod, and the names of those that are there but not the pod's. `claims` are those
    of its namespace that exist, by name."""
    create, foreign = [], []
    for name, template in claims_of(pod):
        known = claims.get(name)
        if known is None:
            create.append(claim_for(pod, name, template))
        elif (owner := controller_of(known)) is None or owner.get("uid") != uid_of(pod):
            foreign.append(name)
    return create, foreign


class EphemeralVolumeController(Controller):
    """Make the claims of ephemeral volumes."""

    name: ClassVar[str] = "ephemeral-volume-controller"

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, CLAIMS, _places),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: self._pod_changed, PersistentVolumeClaim: self._claim_gone}

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        """A pod that has such volumes; most have none."""
        return (key_of(change.object),) if claims_of(change.object) else ()

    def _claim_gone(self, change: Change) -> Iterable[Key]:
        if change.type != "DELETED":
            return ()
        place = f"{namespace_of(change.object)}/{name_of(change.object)}"
        return [Key(namespace_of(pod), name_of(pod)) for pod in self.cache.indexed(Pod, CLAIMS, place)]

    async def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get(Pod, key)
        if pod is None or is_deleting(pod):
            return None
        names = [name for name, _ in claims_of(pod)]
        found = {name: self.cache.get(PersistentVolumeClaim, Key(key.namespace, name)) for name in names}
        create, foreign = plan(pod, {name: claim for name, claim in found.items() if claim is not None})
        for claim in create:
            try:
                await self.client.create(PersistentVolumeClaim, claim)
            except AlreadyExists:
                foreign.append(name_of(claim))  # the next look tells whose it is
            except ApiError as error:
                self._fail(pod, name_of(claim), f"create PVC {name_of(claim)}: {error}")
                raise
        for name in foreign:
            place = f"{key.namespace}/{name}"
            self._fail(pod, name, f"PVC {place} was not created for pod {key} (pod is not owner)")
        return None

    def _fail(self, pod: Obj, claim: str, message: str) -> None:
        volume = claim.removeprefix(f"{name_of(pod)}-")
        self.events.record(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: {message}")


def _places(pod: Obj) -> Iterable[str]:
    return [f"{namespace_of(pod)}/{name}" for name, _ in claims_of(pod)]
