"""Validation of HorizontalPodAutoscalers: bounds, target, metrics, behavior."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import path_segment_name
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import parse_quantity
from minikube_py.meta.violations import forbidden, invalid, non_negative, not_supported, required

_SOURCES = ("object", "external", "pods", "resource", "containerResource")
_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_MAX_WINDOW, _MAX_PERIOD = 3600, 1800


def validate(autoscaler: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of an autoscaler."""
    spec = autoscaler.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 1:
        yield invalid("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        yield invalid("spec.maxReplicas", high, "must be greater than 0")
    if low is not None and high < low:
        yield invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    target, path = spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef"
    before = dig(old or {}, path)
    yield from _reference(target, path)
    told = _version_fault(target, core=target.get("kind") == "ReplicationController")
    if told and (before is None or before.get("apiVersion") != target.get("apiVersion")):
        yield invalid(f"{path}.apiVersion", target.get("apiVersion") or "", told)
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(metric, f"spec.metrics[{index}]")
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            yield from _rules(rules, f"spec.behavior.{direction}")


def validate_status(autoscaler: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a status."""
    for field in ("currentReplicas", "desiredReplicas"):
        yield from non_negative(autoscaler, f"status.{field}")


def _reference(ref: Mapping[str, Any], path: str) -> Iterable[Violation]:
    for field in ("kind", "name"):
        value = ref.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        for reason in path_segment_name(value):
            yield invalid(f"{path}.{field}", value, reason)


def _version_fault(ref: Mapping[str, Any], *, core: bool) -> str:
    """What is wrong with the apiVersion of a reference, empty for nothing; `core` needs no group."""
    version = ref.get("apiVersion") or ""
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    return "" if core or version.rpartition("/")[0] else "apiVersion must specify API group"


def _metric(metric: Obj, path: str) -> Iterable[Violation]:
    type = metric.get("type") or ""
    if not type:
        yield required(f"{path}.type", "must specify a metric source type")
    if type not in _TYPES:
        yield not_supported(f"{path}.type", type, _TYPES)
    present = [source for source in _SOURCES if metric.get(source) is not None]
    if present:
        first = present[0]
        yield from _source(first, metric[first], f"{path}.{first}")
    expected = f"{type[:1].lower()}{type[1:]}"
    if expected not in present:
        yield required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(present) != 1:
        for source in present:
            if source != expected:
                yield forbidden(f"{path}.{source}", "must populate the given metric source only")


def _source(field: str, source: Obj, path: str) -> Iterable[Violation]:
    if field == "object":
        described = source.get("describedObject") or {}
        yield from _reference(described, f"{path}.describedObject")
        if told := _version_fault(described, core=True):
            yield invalid(f"{path}.describedObject.apiVersion", described["apiVersion"], told)
    if field in ("object", "external", "pods"):
        yield from _identifier(source.get("metric") or {}, f"{path}.metric")
    if field == "containerResource" and not source.get("container"):
        yield required(f"{path}.container", "must specify a container")
    if field in ("resource", "containerResource") and not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    target = source.get("target") or {}
    yield from _target(target, f"{path}.target")
    yield from _CHECKS[field](target, f"{path}.target")


def _of_object(target: Obj, path: str) -> Iterable[Violation]:
    if target.get("value") is None and target.get("averageValue") is None:
        yield required(f"{path}.averageValue", "must set either a target value or averageValue")


def _of_external(target: Obj, path: str) -> Iterable[Violation]:
    given = [target.get(field) is not None for field in ("value", "averageValue")]
    if not any(given):
        told = "must set either a target value for metric or a per-pod target"
        yield required(f"{path}.averageValue", told)
    if all(given):
        yield forbidden(f"{path}.value", "may not set both a target value for metric and a per-pod target")


def _of_pods(target: Obj, path: str) -> Iterable[Violation]:
    if not _is_positive(target.get("averageValue")):
        yield required(f"{path}.averageValue", "must specify a positive target averageValue")


def _of_resource(target: Obj, path: str) -> Iterable[Violation]:
    given = [target.get(field) is not None for field in ("averageUtilization", "averageValue")]
    if not any(given):
        told = "must set either a target raw value or a target utilization"
        yield required(f"{path}.averageUtilization", told)
    if all(given):
        yield forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization")


_CHECKS = {
    "object": _of_object,
    "external": _of_external,
    "pods": _of_pods,
    "resource": _of_resource,
    "containerResource": _of_resource,
}


def _identifier(metric: Obj, path: str) -> Iterable[Violation]:
    name = metric.get("name") or ""
    if not name:
        yield required(f"{path}.name", "must specify a metric name")
    for reason in path_segment_name(name):
        yield invalid(f"{path}.name", name, reason)


def _target(target: Obj, path: str) -> Iterable[Violation]:
    type = target.get("type") or ""
    if not type:
        yield required(f"{path}.type", "must specify a metric target type")
    if type not in ("Utilization", "Value", "AverageValue"):
        yield invalid(f"{path}.type", type, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and not _is_positive(target[field]):
            yield invalid(f"{path}.{field}", target[field], "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield invalid(f"{path}.averageUtilization", utilization, "must be greater than 0")


def _is_positive(quantity: Any) -> bool:
    return quantity is not None and parse_quantity(quantity) > 0


def _rules(rules: Obj, path: str) -> Iterable[Violation]:
    window, select = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        yield invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > _MAX_WINDOW:
        told = f"must be less than or equal to {_MAX_WINDOW}"
        yield invalid(f"{path}.stabilizationWindowSeconds", window, told)
    if select is not None and select not in ("Disabled", "Max", "Min"):
        yield not_supported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min"))
    policies = rules.get("policies") or []
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        yield from _policy(policy, f"{path}.policies[{index}]")


def _policy(policy: Obj, path: str) -> Iterable[Violation]:
    if policy.get("type") not in ("Percent", "Pods"):
        yield not_supported(f"{path}.type", policy.get("type") or "", ("Percent", "Pods"))
    for field in ("value", "periodSeconds"):
        if (policy.get(field) or 0) <= 0:
            yield invalid(f"{path}.{field}", policy.get(field) or 0, "must be greater than zero")
    if (policy.get("periodSeconds") or 0) > _MAX_PERIOD:
        told = f"must be less than or equal to {_MAX_PERIOD}"
        yield invalid(f"{path}.periodSeconds", policy["periodSeconds"], told)
