"""RuntimeClass: a pod of a runtime class takes over its overhead, node selector and tolerations."""

from minikube_py.apiserver.admission.base import Plugin, forbid, object_of
from minikube_py.kinds.node.runtimeclass import RuntimeClass
from minikube_py.meta.amounts import same
from minikube_py.meta.objects import Obj, copy, dig
from minikube_py.registry.base import Attributes

UNDEFINED = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"


class RuntimeClassAdmission(Plugin):
    """Applies the runtime class that a new pod names."""

    name = "RuntimeClass"
    resources = frozenset(("pods",))

    async def mutate(self, request: Attributes) -> None:
        spec: Obj = object_of(request).setdefault("spec", {})
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise forbid(request, UNDEFINED)
            return
        runtime_class = self.lookup(RuntimeClass, "", name)
        if runtime_class is None:
            raise forbid(request, f'pod rejected: RuntimeClass "{name}" not found')
        overhead = dig(runtime_class, "overhead.podFixed") or {}
        if spec.get("overhead") and not overhead:
            raise forbid(request, UNDEFINED)
        if spec.get("overhead") and not same(spec["overhead"], overhead):
            raise forbid(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        if overhead:
            spec["overhead"] = copy(overhead)
        _schedule(request, spec, runtime_class.get("scheduling") or {})


def _schedule(request: Attributes, spec: Obj, scheduling: Obj) -> None:
    selector: Obj = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.setdefault(key, value) != value:
            raise forbid(
                request,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}",
            )
    if selector:
        spec["nodeSelector"] = selector
    tolerations = list(spec.get("tolerations") or ())
    added = [copy(t) for t in scheduling.get("tolerations") or () if t not in tolerations]
    if added:
        spec["tolerations"] = tolerations + added
