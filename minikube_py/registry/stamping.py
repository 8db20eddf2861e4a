"""What a kind's strategy takes from the request itself: who asks, and when. Hooks of kinds know neither."""

from minikube_py.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequest,
    keep_decisions,
    requested_by,
    stamp_conditions,
)
from minikube_py.meta.objects import Obj
from minikube_py.registry.pipeline import Write


def stamp(write: Write, obj: Obj, old: Obj | None, now: str) -> None:
    """Note in an object about to be stored, in place, its requester, and `now` (RFC 3339) where times miss."""
    if write.kind.kind != CertificateSigningRequest.kind or write.kind.resource != _REQUESTS:
        return
    if old is None:
        user = write.context.user
        extra = {key: list(values) for key, values in user.extra.items()}
        requested_by(obj, user.name, user.uid, list(user.groups), extra)
    elif not write.to_main:
        if write.subresource == "status":
            keep_decisions(obj, old)
        stamp_conditions(obj, old, now)


_REQUESTS = CertificateSigningRequest.resource
