"""Certificate request cleaner: removes CertificateSigningRequests that are over.

Those that are signed, denied or failed go an hour after that, those that nobody decided after a day, and those
whose certificate has expired at once.
"""

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from cryptography import x509

from minikube_py.controllers.base import Controller
from minikube_py.errors import NotFound
from minikube_py.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from minikube_py.meta.objects import Key, Obj, dig, is_deleting, parse_time, uid_of

DECIDED, PENDING = timedelta(hours=1), timedelta(hours=24)


def ends_at(request: Obj) -> datetime:
    """When the request is to be removed."""
    conditions = dig(request, "status.conditions", ())
    created = parse_time(request["metadata"]["creationTimestamp"])
    decided = list(_times(conditions, ("Approved", "Denied", "Failed"), created))
    is_over = bool(dig(request, "status.certificate")) or any(
        found.get("type") in ("Denied", "Failed") for found in conditions
    )
    ends = [created + PENDING] if not decided else []
    ends += [max(decided) + DECIDED] if decided and is_over else []
    ends += [max(decided) + PENDING] if decided and not is_over else []
    if pem := dig(request, "status.certificate"):
        ends.append(x509.load_pem_x509_certificate(base64.b64decode(pem)).not_valid_after_utc)
    return min(ends)


def _times(conditions: Iterable[Obj], types: tuple[str, ...], default: datetime) -> Iterable[datetime]:
    for found in conditions:
        if found.get("type") in types:
            moment = found.get("lastUpdateTime") or found.get("lastTransitionTime")
            yield parse_time(moment) if moment else default


class CertificateCleaner(Controller):
    """Removes each request when its time has come."""

    name: ClassVar[str] = "certificatesigningrequest-cleaner-controller"
    account: ClassVar[str] = "certificate-controller"
    reconciles = CertificateSigningRequest

    async def reconcile(self, key: Key) -> float | None:
        request = self.cache.get(CertificateSigningRequest, key)
        if request is None or is_deleting(request):
            return None
        left = (ends_at(request) - self.clock.now()).total_seconds()
        if left > 0:
            return left
        try:
            await self.client.delete(
                CertificateSigningRequest, key, {"preconditions": {"uid": uid_of(request)}}
            )
        except NotFound:
            return None
        return None
