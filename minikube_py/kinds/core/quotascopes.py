"""Validation of the scopes of a ResourceQuota: which objects it counts."""

from collections.abc import Iterable

from minikube_py.kinds.resourcenames import is_quota_name
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid, required

_COMPUTE = frozenset(("cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"))
_OF_PODS = _COMPUTE | {"pods"}
_MEASURED = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "BestEffort": frozenset(("pods",)),
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
"""The resources that a quota of a scope may limit."""
_ONLY_EXIST = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)


def validate_scopes(spec: Obj) -> Iterable[Violation]:
    """The refusals of `scopes` of a quota."""
    scopes, path = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in _MEASURED:
            yield invalid(path, scopes, "unsupported scope")
        for _ in _unmeasured(scope, spec):
            yield invalid(path, scopes, "unsupported scope applied to resource")
    yield from _conflicts(scopes, spec)


def validate_scope_selector(spec: Obj) -> Iterable[Violation]:
    """The refusals of `scopeSelector` of a quota."""
    selector, path = spec.get("scopeSelector") or {}, "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or ()
    for expression in expressions:
        scope, operator = expression.get("scopeName") or "", expression.get("operator") or ""
        values = expression.get("values") or []
        if scope not in _MEASURED:
            yield invalid(f"{path}.scopeName", scope, "unsupported scope")
        for _ in _unmeasured(scope, spec):
            yield invalid(path, selector, "unsupported scope applied to resource")
        if scope in _ONLY_EXIST and operator != "Exists":
            yield invalid(f"{path}.operator", operator, _EXISTS)
        if operator in ("In", "NotIn"):
            if not values:
                told = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield required(f"{path}.values", told)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                told = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield invalid(f"{path}.values", values, told)
        else:
            yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from _conflicts([one.get("scopeName") or "" for one in expressions], spec)


def _unmeasured(scope: str, spec: Obj) -> list[str]:
    """The limited resources of which the scope says nothing."""
    measured = _MEASURED.get(scope)
    names = sorted(spec.get("hard") or ())
    return [name for name in names if measured and is_quota_name(name) and name not in measured]


def _conflicts(scopes: list[str], spec: Obj) -> Iterable[Violation]:
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            yield invalid("spec.scopes", spec.get("scopes"), "conflicting scopes")
