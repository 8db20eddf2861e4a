"""matchLabelKeys and mismatchLabelKeys of a pod's affinity terms and topology spread constraints.

What they take from the pod's own labels joins its selectors when the pod is made, so that everybody reads the
same selector (KEP-3633 and KEP-3243 as of v1.34).
"""

from collections.abc import Iterable, Mapping

from minikube_py.meta.objects import Obj, dig, labels_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def merge_label_keys(pod: Obj) -> None:
    """Complete the selectors of a new pod's affinity terms and topology spread constraints."""
    spec, labels = pod["spec"], labels_of(pod)
    for holder in (*_terms(spec), *(spec.get("topologySpreadConstraints") or ())):
        _complete(holder, labels)


def _terms(spec: Obj) -> Iterable[Obj]:
    for field in ("podAffinity", "podAntiAffinity"):
        affinity = dig(spec, f"affinity.{field}") or {}
        yield from affinity.get(_REQUIRED) or ()
        yield from (
            wish["podAffinityTerm"] for wish in affinity.get(_PREFERRED) or () if "podAffinityTerm" in wish
        )


def _complete(holder: Obj, labels: Mapping[str, str]) -> None:
    selector = holder.get("labelSelector")
    if selector is None:
        return
    added = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for operator, field in (("In", "matchLabelKeys"), ("NotIn", "mismatchLabelKeys"))
        for key in holder.get(field) or ()
        if key in labels
    ]
    if added:
        holder["labelSelector"] = {
            **selector,
            "matchExpressions": [*(selector.get("matchExpressions") or ()), *added],
        }
