"""LimitRanger: the LimitRanges of a namespace give new pods their defaults, and bound pods and claims."""

from collections.abc import Sequence

from minikube_py.apiserver.admission.base import WRITES, Plugin, Surroundings, forbid, object_of
from minikube_py.apiserver.admission.limits import claim_faults, give_defaults, pod_faults
from minikube_py.kinds.core.limitrange import LimitRange
from minikube_py.meta.objects import Obj, is_deleting, name_of, namespace_of
from minikube_py.registry.base import Attributes

CLAIMS = "persistentvolumeclaims"


class LimitRanger(Plugin):
    """Applies LimitRanges to pods, when they are created or resized, and to claims."""

    name = "LimitRanger"
    operations = WRITES
    resources = frozenset(("pods", "pods/resize", CLAIMS))

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._ranges: dict[str, dict[str, Obj]] = {}
        self.registry.follow(LimitRange, self._put, self._remove)

    def mutates(self, operation: str, resource: str) -> bool:
        return (operation, resource) == ("CREATE", "pods")

    def validates(self, operation: str, resource: str) -> bool:
        writes = operation in self.operations and resource in self.resources
        return writes and (operation, resource) != ("UPDATE", "pods")

    def _put(self, limit_range: Obj) -> None:
        self._ranges.setdefault(namespace_of(limit_range), {})[name_of(limit_range)] = limit_range

    def _remove(self, limit_range: Obj) -> None:
        known = self._ranges.get(namespace_of(limit_range), {})
        known.pop(name_of(limit_range), None)
        if not known:
            self._ranges.pop(namespace_of(limit_range), None)

    def _in(self, namespace: str) -> Sequence[Obj]:
        found = self._ranges.get(namespace)
        return [found[name] for name in sorted(found)] if found else ()

    async def mutate(self, request: Attributes) -> None:
        for limit_range in self._in(request.namespace):
            give_defaults(limit_range, object_of(request))

    async def validate(self, request: Attributes) -> None:
        ranges = self._in(request.namespace)
        if not ranges or (request.old is not None and is_deleting(request.old)):
            return
        faults_of = claim_faults if request.kind.resource == CLAIMS else pod_faults
        for limit_range in ranges:
            told = list(dict.fromkeys(faults_of(limit_range, object_of(request))))
            if told:
                raise forbid(request, told[0] if len(told) == 1 else f"[{', '.join(told)}]")
