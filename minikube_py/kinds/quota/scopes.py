"""The scopes of a ResourceQuota: which pods and claims it is about."""

from collections.abc import Callable, Iterable
from typing import Any

from minikube_py.kinds.podspec.qos import qos_class
from minikube_py.meta.objects import Obj, dig

PRIORITY_CLASS, ATTRIBUTES_CLASS = "PriorityClass", "VolumeAttributesClass"
Scope = dict[str, Any]
"""An entry of scopeSelector.matchExpressions: scopeName, operator, values."""


def scopes_of(quota: Obj) -> tuple[Scope, ...]:
    """All scopes of a quota, which must all match; `spec.scopes` are those that need only exist."""
    spec = quota.get("spec") or {}
    plain = tuple({"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ())
    return plain + tuple(dig(spec, "scopeSelector.matchExpressions") or ())


def pod_in_scope(scope: Scope, pod: Obj) -> bool:
    """Whether a pod is in the scope."""
    spec = pod.get("spec") or {}
    name = scope.get("scopeName", "")
    if name == PRIORITY_CLASS:
        return _selects(scope, [chosen] if (chosen := spec.get("priorityClassName")) else [])
    judge = _POD_SCOPES.get(name)
    return judge is not None and judge(spec)


def claim_in_scope(scope: Scope, claim: Obj) -> bool:
    """Whether a PersistentVolumeClaim is in the scope: by any attributes class that it has or is to have."""
    if scope.get("scopeName") != ATTRIBUTES_CLASS:
        return False
    paths = (
        "spec.volumeAttributesClassName",
        "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName",
    )
    return _selects(scope, sorted({name for path in paths if (name := dig(claim, path))}))


def in_no_scope(scope: Scope, obj: Obj) -> bool:
    """The answer for objects that scopes do not know."""
    return False


def _selects(scope: Scope, names: list[str]) -> bool:
    """Whether one of the names (or that there is none) satisfies the operator, as a label selector would."""
    operator, values = scope.get("operator", ""), scope.get("values") or ()
    if operator == "Exists":
        return bool(names)
    if operator == "DoesNotExist":
        return not names
    if operator == "In":
        return any(name in values for name in names)
    return operator == "NotIn" and (not names or any(name not in values for name in names))


def _terminating(spec: Obj) -> bool:
    deadline = spec.get("activeDeadlineSeconds")
    return deadline is not None and int(deadline) >= 0


def _terms(affinity: Obj) -> Iterable[Obj]:
    yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted.get("podAffinityTerm") or {}


def _across_namespaces(spec: Obj) -> bool:
    affinity = spec.get("affinity") or {}
    return any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for name in ("podAffinity", "podAntiAffinity")
        for term in _terms(affinity.get(name) or {})
    )


_POD_SCOPES: dict[str, Callable[[Obj], bool]] = {
    "Terminating": _terminating,
    "NotTerminating": lambda spec: not _terminating(spec),
    "BestEffort": lambda spec: qos_class(spec) == "BestEffort",
    "NotBestEffort": lambda spec: qos_class(spec) != "BestEffort",
    "CrossNamespacePodAffinity": _across_namespaces,
}
