"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable."""

from minikube_py.apiserver.admission.base import WRITES, Plugin, object_of
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes

SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    """Adds the two tolerations that a written pod does not have."""

    name = "DefaultTolerationSeconds"
    operations = WRITES
    resources = frozenset(("pods",))

    async def mutate(self, request: Attributes) -> None:
        spec: Obj = object_of(request).setdefault("spec", {})
        tolerations: list[Obj] = list(spec.get("tolerations") or ())
        for taint in TAINTS:
            if not any(_covers(toleration, taint) for toleration in tolerations):
                tolerations.append(
                    {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
                )
        spec["tolerations"] = tolerations


def _covers(toleration: Obj, taint: str) -> bool:
    return toleration.get("key") in (taint, None, "") and toleration.get("effect") in ("NoExecute", None, "")
