"""ResourceClaim controller: makes the claims on devices that pods ask for by a template, and frees those whose
pods have ended.

Guarantees: a pod has one claim per entry, also after a crash between making it and noting it (the annotation
tells). Claims go with their pods by the garbage collector; those of a pod that has ended are deleted at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.pods import is_finished
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.protection import DEVICES_PROTECTION
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kinds.resource.resourceclaimtemplate import ResourceClaimTemplate
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    controller_of,
    copy,
    dig,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

BY_TEMPLATE, BY_USER = "controllers/pod-claim-template", "controllers/claim-user"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"


class Item(NamedTuple):
    """What is looked at: a claim or a pod."""

    is_claim: bool
    key: Key


def template_names(pod: Obj) -> dict[str, str]:
    """The templates of a pod's claims, by the names of the claims within the pod."""
    entries = dig(pod, "spec.resourceClaims") or ()
    return {e["name"]: e["resourceClaimTemplateName"] for e in entries if e.get("resourceClaimTemplateName")}


def claim_for(pod: Obj, name: str, template: Obj) -> Obj:
    """The claim to make for the entry `name` of a pod."""
    asked = dig(template, "spec.metadata") or {}
    labels = {"labels": dict(asked["labels"])} if asked.get("labels") else {}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "generateName": f"{name_of(pod)}-{name}-",
            "namespace": namespace_of(pod),
            "annotations": {**(asked.get("annotations") or {}), POD_CLAIM: name},
            "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})],
            **labels,
        },
        "spec": copy(dig(template, "spec.spec") or {}),
    }


def _templates(pod: Obj) -> Iterable[str]:
    """Files pods under the templates of their claims."""
    if not dig(pod, "spec.resourceClaims"):
        return ()
    return [f"{namespace_of(pod)}/{template}" for template in template_names(pod).values()]


def _users(claim: Obj) -> Iterable[str]:
    """Files claims under the uids of those that may use them."""
    owner = (controller_of(claim) or {}).get("uid")
    users = {entry.get("uid", "") for entry in dig(claim, "status.reservedFor") or ()}
    return users | {owner} if owner else users


def in_use(claim: Obj, pods: Mapping[str, Obj]) -> list[Obj]:
    """The entries of status.reservedFor whose pods (by uid) still run or may; those of others stay."""
    return [
        entry
        for entry in dig(claim, "status.reservedFor") or ()
        if entry.get("resource") != "pods"
        or entry.get("apiGroup")
        or (entry.get("uid") in pods and not is_finished(pods[entry["uid"]]))
    ]


class ResourceClaimController(Controller):
    """Drive each pod's claims by template, and each claim's reservations."""

    name: ClassVar[str] = "resource-claim-controller"

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Pod, BY_TEMPLATE, _templates), (ResourceClaim, BY_USER, _users))

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {
            Pod: self._pod_changed,
            ResourceClaim: self._claim_changed,
            ResourceClaimTemplate: self._template_changed,
        }

    def _pod_changed(self, change: Change) -> Iterable[Item]:
        pod = change.object
        if not dig(pod, "spec.resourceClaims"):
            return
        yield Item(False, key_of(pod))
        if change.type == "DELETED" or is_finished(pod):
            for claim in self.cache.indexed(ResourceClaim, BY_USER, uid_of(pod)):
                if namespace_of(claim) == namespace_of(pod):
                    yield Item(True, key_of(claim))

    def _claim_changed(self, change: Change) -> Iterable[Item]:
        claim, owner = change.object, controller_of(change.object)
        if change.type != "DELETED":
            yield Item(True, key_of(claim))
        if owner is not None and owner.get("kind") == "Pod":
            yield Item(False, Key(namespace_of(claim), owner["name"]))

    def _template_changed(self, change: Change) -> Iterable[Item]:
        """Pods may have waited for a new template."""
        if change.type != "ADDED":
            return
        for pod in self.cache.indexed(Pod, BY_TEMPLATE, str(key_of(change.object))):
            yield Item(False, key_of(pod))

    async def reconcile(self, key: Item) -> float | None:
        if key.is_claim:
            await self._free(key.key)
            return None
        pod = self.cache.get(Pod, key.key)
        if pod is None or is_deleting(pod) or is_finished(pod) or not template_names(pod):
            return None
        known = {e["name"]: e for e in dig(pod, "status.resourceClaimStatuses") or ()}
        made = {}
        for name, template in template_names(pod).items():
            if not dig(known.get(name), "resourceClaimName"):
                made[name] = {"name": name, "resourceClaimName": await self._ensure(pod, name, template)}
        if made:
            told = list((known | made).values())
            await self.set_status(Pod, pod, {**(pod.get("status") or {}), "resourceClaimStatuses": told})
        return None

    async def _ensure(self, pod: Obj, name: str, template_name: str) -> str:
        """The name of the claim for one entry, made if it is missing. Errors: those of the API, told of."""
        for claim in self.cache.owned(ResourceClaim, uid_of(pod)):
            if annotations_of(claim).get(POD_CLAIM) == name and not is_deleting(claim):
                return name_of(claim)
        try:
            template = self.cache.get(ResourceClaimTemplate, Key(namespace_of(pod), template_name))
            if template is None:
                what = f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found'
                raise NotFound(f'resource claim template "{template_name}": {what}')
            return name_of(await self.client.create(ResourceClaim, claim_for(pod, name, template)))
        except ApiError as error:
            message = f"PodResourceClaim {name}: {error}"
            self.events.record(pod, "Warning", "FailedResourceClaimCreation", message)
            raise

    async def _free(self, key: Key) -> None:
        """Take back what pods that have ended reserved; delete what only such a pod wanted."""
        claim = self.cache.get(ResourceClaim, key)
        if claim is None:
            return
        pods = self._users_of(claim)
        used = in_use(claim, pods)
        status = claim.get("status") or {}
        unwanted = is_deleting(claim) and not used
        freed = used != (status.get("reservedFor") or [])
        if freed or (unwanted and status.get("allocation") is not None):
            claim = await self._reserve(claim, status, used)
        if used or dig(claim, "status.allocation") is not None:
            return
        if freed or unwanted:  # one that the scheduler is allocating has the finalizer first
            claim = await self._unprotect(claim)
        await self._let_go(claim, pods)

    def _users_of(self, claim: Obj) -> dict[str, Obj]:
        """The pods that have the claim, or may, by uid; a pod is named with its uid."""
        named = list(dig(claim, "status.reservedFor") or ())
        if (owner := controller_of(claim)) is not None:
            named.append(owner)
        pods = (self.cache.get(Pod, Key(namespace_of(claim), entry.get("name", ""))) for entry in named)
        return {uid_of(pod): pod for pod in pods if pod is not None}

    async def _reserve(self, claim: Obj, status: Obj, used: Sequence[Obj]) -> Obj:
        """Store who uses the claim; without a user it has no devices."""
        kept = {k: v for k, v in status.items() if k not in ("reservedFor", *(() if used else ("allocation",)))}
        return await self.set_status(ResourceClaim, claim, kept | ({"reservedFor": list(used)} if used else {}))

    async def _unprotect(self, claim: Obj) -> Obj:
        """Take the finalizer of a claim without devices."""
        finalizers = dig(claim, "metadata.finalizers") or []
        if DEVICES_PROTECTION not in finalizers:
            return claim
        left = [name for name in finalizers if name != DEVICES_PROTECTION]
        meta = {"uid": uid_of(claim), "finalizers": left or None}
        return await self.client.patch(ResourceClaim, key_of(claim), {"metadata": meta})

    async def _let_go(self, claim: Obj, pods: Mapping[str, Obj]) -> None:
        """Delete a claim without devices whose pod has ended."""
        owner = controller_of(claim)
        if owner is None or owner.get("kind") != "Pod" or is_deleting(claim):
            return
        pod = pods.get(owner["uid"])
        if pod is not None and is_finished(pod):
            options = {"preconditions": {"uid": uid_of(claim)}}
            await self.client.delete(ResourceClaim, key_of(claim), options)
