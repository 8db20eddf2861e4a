"""ExtendedResourceToleration: pods that ask for a device tolerate the taint of its nodes. Off by default."""

from minikube_py.apiserver.admission.base import Plugin, Surroundings, object_of
from minikube_py.kinds.resourcenames import is_extended
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes


class ExtendedResourceToleration(Plugin):
    """Adds a toleration for each extended resource of a new pod."""

    name = "ExtendedResourceToleration"
    resources = frozenset(("pods",))

    @classmethod
    def enabled(cls, surroundings: Surroundings) -> bool:
        return surroundings.config is not None and surroundings.config.extended_resource_toleration

    async def mutate(self, request: Attributes) -> None:
        spec: Obj = object_of(request).setdefault("spec", {})
        tolerations: list[Obj] = list(spec.get("tolerations") or ())
        for resource in sorted(_extended(spec)):
            if not any(
                known.get("key") == resource and known.get("operator") == "Exists" for known in tolerations
            ):
                tolerations.append({"key": resource, "operator": "Exists"})
        if tolerations:
            spec["tolerations"] = tolerations


def _extended(spec: Obj) -> set[str]:
    return {
        name
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
        for name in (container.get("resources") or {}).get("requests") or ()
        if is_extended(name)
    }
