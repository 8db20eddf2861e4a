"""Which claims on devices a pod uses."""

from collections.abc import Iterator
from typing import NamedTuple

from minikube_py.meta.objects import Obj, dig


class PodClaim(NamedTuple):
    """An entry of a pod: its name there, its claim (None: not made yet, empty: none is needed), and whether
    that is made for the pod."""

    entry: str
    claim: str | None
    made: bool


def claims_of(pod: Obj) -> Iterator[PodClaim]:
    """The claims of a pod, in the order of its spec."""
    statuses = {one["name"]: one for one in dig(pod, "status.resourceClaimStatuses") or ()}
    for entry in dig(pod, "spec.resourceClaims") or ():
        if name := entry.get("resourceClaimName"):
            yield PodClaim(entry["name"], name, False)
        else:
            status = statuses.get(entry["name"])
            made = None if status is None else status.get("resourceClaimName") or ""
            yield PodClaim(entry["name"], made, True)
