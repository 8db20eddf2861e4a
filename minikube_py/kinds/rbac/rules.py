"""Validation of the policy rules of Role and ClusterRole."""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid, required


def validate_role(role: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a Role's rules."""
    for index, rule in enumerate(role.get("rules") or ()):
        yield from _rule(rule, namespaced=True, path=f"rules[{index}]")


def validate_cluster_role(role: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a ClusterRole's rules."""
    for index, rule in enumerate(role.get("rules") or ()):
        yield from _rule(rule, namespaced=False, path=f"rules[{index}]")


def _rule(rule: Obj, *, namespaced: bool, path: str) -> Iterable[Violation]:
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    if urls := rule.get("nonResourceURLs"):
        place = f"{path}.nonResourceURLs"
        if namespaced:
            yield invalid(place, urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            yield invalid(place, urls, "rules cannot apply to both regular resources and non-resource URLs")
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")
