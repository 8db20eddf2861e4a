"""Priority: a pod's priority is that of its PriorityClass; at most one class is the default."""

from minikube_py.apiserver.admission.base import WRITES, Plugin, Surroundings, forbid, name_in, object_of
from minikube_py.kinds.scheduling.priorityclass import PriorityClass
from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.registry.base import Attributes


class Priority(Plugin):
    """Fills in spec.priority and spec.preemptionPolicy of new pods."""

    name = "Priority"
    operations = WRITES
    resources = frozenset(("pods", "priorityclasses.scheduling.k8s.io"))

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._classes: dict[str, Obj] = {}
        self._default: Obj = {}
        self.registry.follow(PriorityClass, self._put, self._remove)

    def _put(self, priority_class: Obj) -> None:
        self._classes[name_of(priority_class)] = priority_class
        self._choose_default()

    def _remove(self, priority_class: Obj) -> None:
        self._classes.pop(name_of(priority_class), None)
        self._choose_default()

    def _choose_default(self) -> None:
        defaults = (c for c in self._classes.values() if c.get("globalDefault"))
        self._default = min(defaults, key=lambda c: int(c.get("value", 0)), default={})

    async def mutate(self, request: Attributes) -> None:
        if request.kind.resource != "pods":
            return
        spec: Obj = object_of(request).setdefault("spec", {})
        if request.operation == "UPDATE":
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and (known := dig(request.old, f"spec.{field}")) is not None:
                    spec[field] = known
            return
        chosen = self._class_of(request, spec)
        value = int(chosen.get("value", 0))
        given = spec.get("priority")
        if given is not None and given != value:
            raise forbid(
                request,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        policy = chosen.get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("preemptionPolicy") not in (None, policy):
            raise forbid(
                request,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
                f"pod spec; priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy
        if chosen:
            spec["priorityClassName"] = name_of(chosen)

    def _class_of(self, request: Attributes, spec: Obj) -> Obj:
        name = spec.get("priorityClassName")
        if not name:
            return self._default
        found = self._classes.get(name)
        if found is None:
            raise forbid(request, f"no PriorityClass with name {name} was found")
        return found

    async def validate(self, request: Attributes) -> None:
        if request.kind.resource == "pods" or not object_of(request).get("globalDefault"):
            return
        for other in self._classes.values():
            if other.get("globalDefault") and name_of(other) != name_in(request):
                raise forbid(
                    request,
                    f"PriorityClass {name_of(other)} is already marked as default. Only one default can exist",
                )
