"""DenyServiceExternalIPs: no Service takes over traffic to others' addresses (CVE-2020-8554). Default: off."""

from minikube_py.apiserver.admission.base import WRITES, Plugin, Surroundings, forbid, object_of
from minikube_py.meta.objects import dig
from minikube_py.registry.base import Attributes


class DenyServiceExternalIPs(Plugin):
    """Refuses external IPs that a Service does not have yet."""

    name = "DenyServiceExternalIPs"
    operations = WRITES
    resources = frozenset(("services",))

    @classmethod
    def enabled(cls, surroundings: Surroundings) -> bool:
        return surroundings.config is not None and surroundings.config.deny_service_external_ips

    async def validate(self, request: Attributes) -> None:
        new = dig(object_of(request), "spec.externalIPs") or ()
        if not set(new) <= set(dig(request.old, "spec.externalIPs") or ()):
            raise forbid(request, "Use of external IPs is denied by admission control.")
