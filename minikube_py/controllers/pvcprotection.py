"""PVC protection controller: a claim that is being deleted goes once no pod on a node uses it any more.

Pods that have ended count as long as they are there, those without a node never do. Claims that lack the
finalizer get it.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.errors import NotFound
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.protection import CLAIM_PROTECTION, protected, unprotected
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, name_of, namespace_of

CLAIMS = "claims"


def claims_of(pod: Obj) -> list[str]:
    """The names of the claims that a pod uses, those made for its ephemeral volumes too."""
    found = []
    for volume in dig(pod, "spec.volumes") or ():
        if claim := dig(volume, "persistentVolumeClaim.claimName"):
            found.append(claim)
        elif volume.get("ephemeral") is not None:
            found.append(f"{name_of(pod)}-{volume.get('name', '')}")
    return found


def _places(pod: Obj) -> Iterable[str]:
    return [f"{namespace_of(pod)}/{claim}" for claim in claims_of(pod)]


class PvcProtectionController(Controller):
    """Take the finalizer from claims that nobody uses."""

    name: ClassVar[str] = "pvc-protection-controller"
    reconciles = PersistentVolumeClaim

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, CLAIMS, _places),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Pod: self._pod_changed}

    def _pod_changed(self, change: Change) -> Iterable[Key]:
        if change.type != "DELETED":
            return ()
        namespace = namespace_of(change.object)
        return [Key(namespace, claim) for claim in claims_of(change.object)]

    async def reconcile(self, key: Key) -> float | None:
        claim = self.cache.get(PersistentVolumeClaim, key)
        if claim is None:
            return None
        if not is_deleting(claim):
            wanted = protected(claim, CLAIM_PROTECTION)
        else:
            users = self.cache.indexed(Pod, CLAIMS, str(key))
            if any(dig(pod, "spec.nodeName") for pod in users):
                return None
            wanted = unprotected(claim, CLAIM_PROTECTION)
        if wanted is not None:
            try:
                await self.client.update(PersistentVolumeClaim, wanted)
            except NotFound:
                return None
        return None
