"""Validation of label selectors, and of those that must select the pods of their own template."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import label_value, qualified_name
from minikube_py.meta.object_meta import validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.selectors import from_label_selector
from minikube_py.meta.violations import forbidden, invalid, omitted, required

MISMATCH = "`selector` does not match template `labels`"
_UNREADABLE = {**dict.fromkeys(("deployment", "ReplicaSet"), "invalid label selector"), "statefulset": ""}
"""What a workload's selector that cannot be read is called besides; a DaemonSet's is not."""


def validate_label_selector(selector: Mapping[str, Any] | None, path: str) -> Iterable[Violation]:
    """The refusals of a metav1.LabelSelector; None passes."""
    if not selector:
        return
    yield from validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        place, operator = f"{path}.matchExpressions[{index}]", requirement.get("operator") or ""
        values = requirement.get("values") or []
        if operator in ("In", "NotIn") and not values:
            yield required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbidden(
                f"{place}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield invalid(f"{place}.operator", operator, "not a valid selector operator")
        for reason in qualified_name(requirement.get("key") or ""):
            yield invalid(f"{place}.key", requirement.get("key") or "", reason)
        for number, value in enumerate(values):
            for reason in label_value(value):
                yield invalid(f"{place}.values[{number}]", value, reason)


def _mismatch(labels: Mapping[str, str] | None) -> Violation:
    path = "spec.template.metadata.labels"
    return invalid(path, labels, MISMATCH) if labels else omitted(path, f"null: {MISMATCH}")


def validate_own_selector(spec: Obj, kind: str) -> Iterable[Violation]:
    """The refusals of `spec.selector` of a workload, which must select the pods of `spec.template`. `kind` is
    the word for the workload in messages. None selects nothing; a DaemonSet is told only of the mismatch."""
    selector = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if selector is None:
        if kind != "daemonset":
            yield required("spec.selector")
        yield _mismatch(labels)
        return
    found = list(validate_label_selector(selector, "spec.selector"))
    yield from found
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    elif not found and not from_label_selector(selector).matches(labels or {}):
        yield _mismatch(labels)
    elif found and kind in _UNREADABLE:
        yield invalid("spec.selector", selector, _UNREADABLE[kind])
