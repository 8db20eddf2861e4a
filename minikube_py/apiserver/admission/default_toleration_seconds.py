"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable."""

from minikube_py.apiserver.admission.base import WRITES, Plugin, object_of
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes

SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
ALL_KEYS = frozenset((None, ""))
"""The keys of tolerations of every taint."""


class DefaultTolerationSeconds(Plugin):
    """Adds the two tolerations that a written pod does not have."""

    name = "DefaultTolerationSeconds"
    operations = WRITES
    resources = frozenset(("pods",))

    async def mutate(self, request: Attributes) -> None:
        spec: Obj = object_of(request).setdefault("spec", {})
        tolerations: list[Obj] = spec.get("tolerations") or []
        covered = {one.get("key") for one in tolerations if one.get("effect") in ("NoExecute", None, "")}
        if covered & ALL_KEYS:
            return
        if missing := [taint for taint in TAINTS if taint not in covered]:
            spec["tolerations"] = [*tolerations, *map(_tolerated, missing)]


def _tolerated(taint: str) -> Obj:
    return {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
