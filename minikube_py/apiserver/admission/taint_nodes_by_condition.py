"""TaintNodesByCondition: a new node takes no pods until it has been seen to be ready."""

from minikube_py.apiserver.admission.base import Plugin, object_of
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    """Taints new nodes as not ready."""

    name = "TaintNodesByCondition"
    resources = frozenset(("nodes",))

    async def mutate(self, request: Attributes) -> None:
        spec: Obj = object_of(request).setdefault("spec", {})
        taints: list[Obj] = list(spec.get("taints") or ())
        if not any((t.get("key"), t.get("effect")) == tuple(NOT_READY.values()) for t in taints):
            spec["taints"] = [*taints, dict(NOT_READY)]
