"""Metrics in the shape in which autoscaling/v1 writes them into annotations: targets beside the source, where
autoscaling/v2 has a `target` (or, in a status, a `current`) and names the metric in `metric`."""

from typing import Any

from minikube_py.meta.objects import Obj

_TARGETS = {"averageUtilization": "targetAverageUtilization", "averageValue": "targetAverageValue"}
_CURRENTS = {"averageUtilization": "currentAverageUtilization", "averageValue": "currentAverageValue"}


def _field(type: str) -> str:
    """The field of a metric that carries a source of this type."""
    return f"{type[:1].lower()}{type[1:]}"


def metric_from_v2(metric: Obj) -> Obj:
    """A metric of a v2 spec as it stands in the annotation."""
    type = metric.get("type") or ""
    source = metric.get(_field(type)) or {}
    target = source.get("target") or {}
    if type in ("Resource", "ContainerResource"):
        made = _kept(source, "name", "container") | _renamed(target, _TARGETS)
    elif type == "Object":
        made = _named(source) | _object(source, "target")
        made["targetValue"] = target.get("value", target.get("averageValue", "0"))
        if "averageValue" in target:
            made["averageValue"] = target["averageValue"]
    else:
        made = _named(source, "metricSelector" if type == "External" else "selector")
        made |= _renamed(target, {"value": "targetValue", "averageValue": "targetAverageValue"})
    return {"type": type, _field(type): made}


def metric_to_v2(metric: Obj) -> Obj:
    """The way back."""
    type = metric.get("type") or ""
    source = metric.get(_field(type)) or {}
    if type in ("Resource", "ContainerResource"):
        target = _renamed(source, _reversed(_TARGETS))
        made = _kept(source, "name", "container") | {"target": _typed(target)}
    elif type == "Object":
        average = source.get("averageValue")
        target = {"value": source.get("targetValue")} if average is None else {"averageValue": average}
        made = {
            "describedObject": source.get("target") or {},
            "metric": _metric(source),
            "target": _typed(target),
        }
    else:
        target = _renamed(source, {"targetValue": "value", "targetAverageValue": "averageValue"})
        selector = "metricSelector" if type == "External" else "selector"
        made = {"metric": _metric(source, selector), "target": _typed(target)}
    return {"type": type, _field(type): made}


def status_from_v2(status: Obj) -> Obj:
    """A metric of a v2 status as it stands in the annotation."""
    type = status.get("type") or ""
    if not type:  # of a metric that could not be read
        return {"type": type}
    source = status.get(_field(type)) or {}
    current = source.get("current") or {}
    if type in ("Resource", "ContainerResource"):
        made = _kept(source, "name", "container") | _renamed(current, _CURRENTS)
    elif type == "Object":
        made = _named(source) | _object(source, "target")
        made["currentValue"] = current.get("value", "0")
        made |= _kept(current, "averageValue")
    else:
        made = _named(source, "metricSelector" if type == "External" else "selector")
        made |= _renamed(current, {"value": "currentValue", "averageValue": "currentAverageValue"})
    return {"type": type, _field(type): made}


def status_to_v2(status: Obj) -> Obj:
    """The way back."""
    type = status.get("type") or ""
    if not type:  # of a metric that could not be read
        return {"type": type}
    source = status.get(_field(type)) or {}
    if type in ("Resource", "ContainerResource"):
        made = _kept(source, "name", "container") | {"current": _renamed(source, _reversed(_CURRENTS))}
    elif type == "Object":
        current = {"value": source.get("currentValue", "0")} | _kept(source, "averageValue")
        made = {"describedObject": source.get("target") or {}, "metric": _metric(source), "current": current}
    else:
        current = _renamed(source, {"currentValue": "value", "currentAverageValue": "averageValue"})
        selector = "metricSelector" if type == "External" else "selector"
        made = {"metric": _metric(source, selector), "current": current}
    return {"type": type, _field(type): made}


def _kept(source: Obj, *fields: str) -> Obj:
    return {field: source[field] for field in fields if source.get(field) is not None}


def _renamed(source: Obj, names: dict[str, str]) -> Obj:
    return {new: source[old] for old, new in names.items() if source.get(old) is not None}


def _reversed(names: dict[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}


def _named(source: Obj, selector: str = "selector") -> Obj:
    metric = source.get("metric") or {}
    return {"metricName": metric.get("name") or ""} | _renamed(metric, {"selector": selector})


def _metric(source: Obj, selector: str = "selector") -> Obj:
    return {"name": source.get("metricName") or ""} | _renamed(source, {selector: "selector"})


def _object(source: Obj, field: str) -> Obj:
    return {field: source.get("describedObject") or {}}


def _typed(target: dict[str, Any]) -> Obj:
    """A v2 target, with the type that its field says."""
    if target.get("averageUtilization") is not None:
        return {"type": "Utilization", **target}
    return {"type": "Value" if target.get("value") is not None else "AverageValue", **target}
