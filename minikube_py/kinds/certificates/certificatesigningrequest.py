"""CertificateSigningRequest: somebody asks for a certificate, somebody approves, and a signer signs.

What is asked never changes. Who asks (`requested_by`) and when conditions change (`stamp_conditions`) is filled
in by the registry, which knows the user and the time.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from minikube_py.kinds.certificates.requestvalidation import (
    APPROVAL,
    DECIDED,
    validate,
    validate_approval,
    validate_status,
)
from minikube_py.kinds.columns import NAME, NONE, age, human_duration, text
from minikube_py.kinds.strategy import if_absent, section
from minikube_py.meta.kind import Column, Kind, Part
from minikube_py.meta.objects import Obj, condition, copy, dig


def default(request: Obj) -> None:
    for found in dig(request, "status.conditions", ()):
        if_absent(found, "status", "True")


def requested_by(request: Obj, name: str, uid: str, groups: list[str], extra: Mapping[str, list[str]]) -> None:
    """Note in a new request, in place, who asks, whatever the client says."""
    spec = section(request, "spec")
    given: dict[str, Any] = {"username": name, "uid": uid, "groups": groups, "extra": dict(extra)}
    for field, value in given.items():
        if value:
            spec[field] = value
        else:
            spec.pop(field, None)


def stamp_conditions(request: Obj, old: Obj, now: str) -> None:
    """Give the conditions, in place, the times that they have none of."""
    for found in dig(request, "status.conditions", ()):
        if_absent(found, "lastUpdateTime", now)
        if found.get("lastTransitionTime"):
            continue
        known = condition(old, found.get("type", ""))
        same = known is not None and known.get("status") == found.get("status")
        found["lastTransitionTime"] = (known or {}).get("lastTransitionTime") if same else now
        if_absent(found, "lastTransitionTime", now)


def keep_decisions(request: Obj, old: Obj) -> None:
    """Set the approvals and denials of a status, in place, back to the old ones; one that was added or is
    missing stays so, and is refused."""
    conditions = dig(request, "status.conditions", [])
    for type in DECIDED:
        known = [found for found in dig(old, "status.conditions", ()) if found.get("type") == type]
        places = [at for at, found in enumerate(conditions) if found.get("type") == type]
        if len(known) == len(places):
            for at, found in zip(places, known, strict=True):
                conditions[at] = copy(found)


def prepare(request: Obj, old: Obj | None) -> None:
    """What is asked is fixed."""
    if old is None:
        request["status"] = {}
    else:
        request["spec"] = copy(old.get("spec") or {})


def approved(sent: Obj, request: Obj) -> Obj:
    """The approval subresource: the conditions, and nothing else."""
    status = section(request, "status")
    status.pop("conditions", None)
    if conditions := dig(sent, "status.conditions"):
        status["conditions"] = conditions
    default(request)
    return request


def _status(request: Obj, now: datetime) -> str:
    types = {found.get("type") for found in dig(request, "status.conditions", ())}
    told = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    told += ",Failed" if "Failed" in types else ""
    return f"{told},Issued" if dig(request, "status.certificate") else told


def _duration(request: Obj, now: datetime) -> str:
    seconds = dig(request, "spec.expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


CertificateSigningRequest = Kind(
    "CertificateSigningRequest",
    "certificates.k8s.io/v1",
    "certificatesigningrequests",
    short_names=("csr",),
    namespaced=False,
    subresources=("status", APPROVAL),
    parts={APPROVAL: Part(approved, validate_approval)},
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    fields={"spec.signerName": "spec.signerName"},
    columns=(
        NAME,
        Column("Age", age, description="Time since it was created"),
        Column("SignerName", text("spec.signerName", NONE), description="Who is asked to sign"),
        Column("Requestor", text("spec.username"), description="Who asks"),
        Column("RequestedDuration", _duration, description="How long the certificate is to be valid"),
        Column("Condition", _status, description="How far it has come"),
    ),
)
