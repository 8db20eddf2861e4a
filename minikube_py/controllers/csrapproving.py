"""Certificate approval: approves kubelets' requests for client certificates, where those who ask may have
them.

A node that asks for its own name needs the right to create certificatesigningrequests/selfnodeclient, others
that to create certificatesigningrequests/nodeclient. A recognized request without the right is looked at
again. All other requests wait for somebody to approve them.
"""

from typing import ClassVar, NamedTuple

from minikube_py.controllers.base import Controller
from minikube_py.controllers.certificates.requests import (
    KUBELET_CLIENT,
    common_name,
    kubelet_client_fault,
    loaded,
)
from minikube_py.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from minikube_py.meta.objects import Key, Obj, condition_is, copy, dig, is_deleting, timestamp

RETRY_SECONDS = 60.0


class Recognized(NamedTuple):
    """A request that may be approved by itself: the right that it takes, and what the approval says."""

    subresource: str
    message: str


def recognized(request: Obj) -> tuple[Recognized, ...]:
    """What the request may be approved as; nothing where it is for somebody to decide."""
    spec = request.get("spec") or {}
    if spec.get("signerName") != KUBELET_CLIENT:
        return ()
    asked = loaded(request)
    if kubelet_client_fault(asked, spec.get("usages") or []):
        return ()
    own = Recognized(
        "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."
    )
    any_node = Recognized("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")
    return (own, any_node) if spec.get("username") == common_name(asked) else (any_node,)


def review_of(request: Obj, subresource: str) -> Obj:
    """The spec of the SubjectAccessReview that decides."""
    spec = request["spec"]
    resource = {"group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create"}
    return {
        "user": spec.get("username") or "",
        "uid": spec.get("uid") or "",
        "groups": spec.get("groups") or [],
        "extra": spec.get("extra") or {},
        "resourceAttributes": {**resource, "subresource": subresource},
    }


class CertificateApproving(Controller):
    """Approves what needs nobody."""

    name: ClassVar[str] = "certificatesigningrequest-approving-controller"
    account: ClassVar[str] = "certificate-controller"
    reconciles = CertificateSigningRequest

    async def reconcile(self, key: Key) -> float | None:
        request = self.cache.get(CertificateSigningRequest, key)
        allows = self.config.allows
        if request is None or is_deleting(request) or allows is None or dig(request, "status.certificate"):
            return None
        if condition_is(request, "Approved") or condition_is(request, "Denied"):
            return None
        found = recognized(request)
        right = next((one for one in found if allows(review_of(request, one.subresource))), None)
        if right is None:
            return RETRY_SECONDS if found else None
        approved = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": right.message,
            "lastUpdateTime": timestamp(self.clock.now()),
        }
        changed = copy(request)
        status = changed.setdefault("status", {})
        status["conditions"] = [*status.get("conditions", ()), approved]
        await self.client.update(CertificateSigningRequest, changed, subresource="approval")
        return None
