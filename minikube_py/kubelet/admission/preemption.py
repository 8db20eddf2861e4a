"""Which pods a critical pod may end to have room on its node. Pure.

Critical pods (static ones, and those of the system's priority classes) end others that are not, and others of
lower priority. As few pods of the better QoS classes go as can be, and of one class those whose requests come
closest to what is lacking. Source: the Kubernetes documentation, Guaranteed Scheduling For Critical Add-On
Pods.
"""

from collections.abc import Mapping, Sequence

from minikube_py.kubelet.admission.admission import claim_of
from minikube_py.kubelet.cm.qos import is_critical, qos_class
from minikube_py.meta.objects import Obj

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
CLASSES = ("BestEffort", "Burstable", "Guaranteed")
Need = Mapping[str, int]


def victims(pod: Obj, lacking: Need, others: Sequence[Obj]) -> list[Obj] | None:
    """The pods among `others` to end so that `lacking` (by resource, in the unit of claims) is there for `pod`;
    None where not even all of them would do."""
    able = [other for other in others if _goes_for(pod, other)]
    if _rest(lacking, able):
        return None
    best, middle, good = ([other for other in able if qos_class(other) == name] for name in CLASSES)
    first = _closest(good, _rest(lacking, [*best, *middle]))
    second = _closest(middle, _rest(lacking, [*best, *first]))
    return [*_closest(best, _rest(lacking, [*second, *first])), *second, *first]


def told(lacking: Need) -> str:
    """What is lacking, in the kubelet's words where nothing helps."""
    wanted = "".join(f"(res: {name}, q: {most}), " for name, most in sorted(lacking.items()))
    why = f"no set of running pods found to reclaim resources: [{wanted}]"
    error = f"preemption: error finding a set of pods to preempt: {why}"
    return f"Unexpected error while attempting to recover from admission failure: {error}"


def _goes_for(pod: Obj, other: Obj) -> bool:
    if is_critical(pod) and not is_critical(other):
        return True
    mine, theirs = pod["spec"].get("priority"), other["spec"].get("priority")
    return mine is not None and theirs is not None and mine > theirs


def _frees(pod: Obj) -> Need:
    return {**claim_of(pod).requests, "pods": 1}


def _rest(lacking: Need, pods: Sequence[Obj]) -> dict[str, int]:
    """What is still lacking once `pods` are gone."""
    freed = [_frees(pod) for pod in pods]
    rest = {name: most - sum(of.get(name, 0) for of in freed) for name, most in lacking.items()}
    return {name: most for name, most in rest.items() if most > 0}


def _closest(pods: Sequence[Obj], lacking: Need) -> list[Obj]:
    """Some of `pods` that free what is lacking: the one that leaves least of it is next, of two the smaller."""
    left, chosen = list(pods), list[Obj]()
    while lacking and left:
        need = lacking

        def distance(pod: Obj, need: Need = need) -> tuple[float, int, int]:
            frees = _frees(pod)
            open = ((most - frees.get(name, 0)) / most for name, most in need.items())
            return sum(max(0.0, part) ** 2 for part in open), frees.get("memory", 0), frees.get("cpu", 0)

        pick = min(left, key=distance)
        left.remove(pick)
        chosen.append(pick)
        lacking = _rest(lacking, [pick])
    return chosen
