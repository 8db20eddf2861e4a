"""The devices that a pod's claims were given: each driver is to prepare its own before the pod starts.

Limits: no driver of devices can register with this kubelet, so that a pod whose claims have some waits, and an
event tells which driver is missing.
"""

from minikube_py.client.base import Client
from minikube_py.errors import ApiError
from minikube_py.kinds.resource.podclaims import claims_of
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.meta.objects import Obj, dig, namespace_of


class DevicesUnprepared(Exception):
    """A pod's devices are not ready; the message says why."""


async def prepare_devices(pod: Obj, client: Client) -> None:
    """Have the pod's devices made ready. Errors: DevicesUnprepared."""
    for name in filter(None, (one.claim for one in claims_of(pod))):
        try:
            claim = await client.get(ResourceClaim, name, namespace_of(pod))
        except ApiError as error:
            fault = f"fetch ResourceClaim {name}: {error}"
            raise DevicesUnprepared(f"prepare dynamic resources: {fault}") from error
        for result in dig(claim, "status.allocation.devices.results") or ():
            fault = f"DRA driver {result.get('driver')} is not registered"
            raise DevicesUnprepared(f"prepare dynamic resources: {fault}")
