"""Certificate signing: gives approved CertificateSigningRequests of Kubernetes' own signers a certificate.

A request that its signer does not sign gets the condition Failed, with the reason. Without an authority
nothing is signed. Requests of other signers are others' business.
"""

import asyncio
import base64
from typing import ClassVar

from minikube_py.controllers.base import Controller
from minikube_py.controllers.certificates.requests import SIGNED, loaded
from minikube_py.controllers.certificates.signing import sign
from minikube_py.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from minikube_py.meta.objects import Key, Obj, condition_is, copy, dig, is_deleting, timestamp


def is_waiting(request: Obj) -> bool:
    """Whether the request is approved, neither failed nor signed, and is for one of our signers."""
    return (
        condition_is(request, "Approved")
        and not condition_is(request, "Failed")
        and not condition_is(request, "Denied")
        and not dig(request, "status.certificate")
        and dig(request, "spec.signerName") in SIGNED
    )


class CertificateSigning(Controller):
    """Signs what was approved."""

    name: ClassVar[str] = "certificatesigningrequest-signing-controller"
    account: ClassVar[str] = "certificate-controller"
    reconciles = CertificateSigningRequest

    async def reconcile(self, key: Key) -> float | None:
        request = self.cache.get(CertificateSigningRequest, key)
        authority = self.config.authority
        if request is None or is_deleting(request) or authority is None or not is_waiting(request):
            return None
        spec = request["spec"]
        asked, usages = loaded(request), spec.get("usages") or []
        status = copy(request.get("status") or {})
        if fault := SIGNED[spec["signerName"]](asked, usages):
            failed = {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": fault,
                "lastUpdateTime": timestamp(self.clock.now()),
            }
            status["conditions"] = [*status.get("conditions", ()), failed]
        else:
            pem = await asyncio.to_thread(
                sign, asked, usages, spec.get("expirationSeconds"), authority, self.clock.now()
            )
            status["certificate"] = base64.b64encode(pem).decode()
        await self.set_status(CertificateSigningRequest, request, status)
        return None
