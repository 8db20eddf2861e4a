"""Where a pod may run: taints and tolerations, node selectors and required node affinity. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from minikube_py.meta.objects import Obj, dig, labels_of, name_of

NO_EXECUTE, NO_SCHEDULE = "NoExecute", "NoSchedule"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    has_key = bool(toleration.get("key"))
    return has_key and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(taints: Iterable[Obj], tolerations: Sequence[Obj], effects: Sequence[str]) -> list[Obj]:
    """The taints of these effects that no toleration covers."""
    return [
        taint
        for taint in taints
        if taint.get("effect") in effects and not any(tolerates(t, taint) for t in tolerations)
    ]


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii()


def _compare(value: str, wanted: Sequence[str], above: bool) -> bool:
    if len(wanted) != 1 or not _is_number(value) or not _is_number(wanted[0]):
        return False
    return int(value) > int(wanted[0]) if above else int(value) < int(wanted[0])


OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, wanted: value is not None and value in wanted,
    "NotIn": lambda value, wanted: value is None or value not in wanted,
    "Exists": lambda value, wanted: value is not None,
    "DoesNotExist": lambda value, wanted: value is None,
    "Gt": lambda value, wanted: value is not None and _compare(value, wanted, True),
    "Lt": lambda value, wanted: value is not None and _compare(value, wanted, False),
}
"""The operators of a NodeSelectorRequirement."""


def _meets(requirement: Obj, values: Mapping[str, str]) -> bool:
    operator = OPERATORS.get(requirement.get("operator", ""))
    value = values.get(requirement.get("key", ""))
    return operator is not None and operator(value, requirement.get("values") or ())


def matches_term(term: Obj, node: Obj) -> bool:
    """Whether a NodeSelectorTerm selects `node`; an empty term selects none."""
    labels = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not labels and not fields:
        return False
    return all(_meets(r, labels_of(node)) for r in labels) and all(
        _meets(r, {"metadata.name": name_of(node)}) for r in fields
    )


def selects(pod_spec: Obj, node: Obj) -> bool:
    """Whether the pod's node selector and required node affinity allow `node`."""
    if not (pod_spec.get("nodeSelector") or {}).items() <= labels_of(node).items():
        return False
    required = dig(pod_spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(matches_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def taints_of(node: Obj) -> list[Obj]:
    return dig(node, "spec.taints") or []
