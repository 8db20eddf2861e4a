"""What is known of the ResourceClaims that pods of this node use. Pure.

A claim is prepared once, whoever uses it, and unprepared with its last pod. Source: KEP-4381.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from minikube_py.kinds.resource.podclaims import claims_of
from minikube_py.meta.objects import Obj, controller_of, dig, name_of, namespace_of, uid_of
from minikube_py.runtime.devices import ClaimRef, PreparedDevice


class ClaimsUnprepared(Exception):
    """A pod's devices are not ready; the message is Kubernetes' own."""


@dataclass(slots=True)
class ClaimInfo:
    """One claim: what each driver has prepared of it, and the uids of the pods that use it."""

    ref: ClaimRef
    drivers: dict[str, list[PreparedDevice]]
    pods: set[str] = field(default_factory=set)
    prepared: bool = False


def claim_names(pod: Obj) -> list[str]:
    """The names of the claims that a pod uses. Errors: ClaimsUnprepared where one is not made yet."""
    names = []
    for one in claims_of(pod):
        if one.claim is None:
            raise ClaimsUnprepared(f'pod claim "{one.entry}": ResourceClaim not created yet')
        if one.claim:
            names.append(one.claim)
    return names


def usable(pod: Obj, claim: Obj, *, made: bool) -> ClaimInfo:
    """A claim that the pod may use; `made`: it must have been made for the pod. Errors: ClaimsUnprepared."""
    uid, name = uid_of(pod), name_of(claim)
    owner = controller_of(claim)
    if made and (owner is None or owner["uid"] != uid):
        whose = f"was not created for pod {namespace_of(pod)}/{name_of(pod)} (pod is not owner)"
        raise ClaimsUnprepared(f"ResourceClaim {namespace_of(claim)}/{name} {whose}")
    if not any(user["uid"] == uid for user in dig(claim, "status.reservedFor") or ()):
        who = f"pod {name_of(pod)} ({uid})"
        raise ClaimsUnprepared(f"{who} is not allowed to use ResourceClaim {name} ({uid_of(claim)})")
    allocation = dig(claim, "status.allocation")
    if allocation is None:
        raise ClaimsUnprepared(f"ResourceClaim {name}: not allocated")
    drivers = [result["driver"] for result in dig(allocation, "devices.results") or ()]
    ref = ClaimRef(namespace_of(claim), name, uid_of(claim))
    return ClaimInfo(ref, {driver: [] for driver in dict.fromkeys(drivers)})


def requests(pod: Obj, container: Obj) -> Iterator[tuple[str, str]]:
    """(claim, request in it) that a container uses; request '': all of the claim's."""
    asked = dig(container, "resources.claims") or ()
    for one in claims_of(pod):
        for entry in asked:
            if one.claim and entry["name"] == one.entry:
                yield one.claim, entry.get("request") or ""


def cdi_devices(info: ClaimInfo, request: str) -> Iterator[str]:
    """The CDI devices of a claim's request ('': of all of them)."""
    for devices in info.drivers.values():
        for device in devices:
            mains = {name.partition("/")[0] for name in device.requests}
            if not request or not device.requests or request in mains:
                yield from device.cdi_devices
