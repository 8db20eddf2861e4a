"""HorizontalPodAutoscaler (autoscaling/v2): how many replicas a workload has, by what is measured of it.

This is the form in which autoscalers are stored.
"""

from datetime import datetime
from typing import Any

from minikube_py.kinds.autoscaling.autoscalervalidation import validate, validate_status
from minikube_py.kinds.columns import AGE, NAME, NONE, UNKNOWN, UNSET, integer
from minikube_py.kinds.strategy import if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj, dig

DEFAULT_CPU = 80
"""The utilization (percent of the requests) that an autoscaler without metrics aims at."""
_PERIOD = 15
_SHOWN_METRICS = 2


def cpu_metric(utilization: int) -> Obj:
    """The metric that asks for a CPU utilization, in percent of the requests."""
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def default(autoscaler: Obj) -> None:
    spec = section(autoscaler, "spec")
    if_absent(spec, "minReplicas", 1)
    if_empty(spec, "metrics", [cpu_metric(DEFAULT_CPU)])
    if (status := autoscaler.get("status")) is not None:
        if_absent(status, "desiredReplicas", 0)
        status.setdefault("currentMetrics", None)
    behavior = spec.get("behavior")
    if behavior is None:
        return
    up, down = section(behavior, "scaleUp"), section(behavior, "scaleDown")
    if_absent(up, "stabilizationWindowSeconds", 0)
    percent = {"type": "Percent", "value": 100, "periodSeconds": _PERIOD}
    if_absent(up, "policies", [{"type": "Pods", "value": 4, "periodSeconds": _PERIOD}, dict(percent)])
    if_absent(down, "policies", [percent])
    for rules in (up, down):
        if_absent(rules, "selectPolicy", "Max")


def prepare(autoscaler: Obj, old: Obj | None) -> None:
    """Nobody sets the status of what he creates."""
    if old is None:
        autoscaler["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def reference(autoscaler: Obj, now: datetime) -> str:
    """The workload that is scaled, as `Kind/name`."""
    return (
        f"{dig(autoscaler, 'spec.scaleTargetRef.kind', '')}/{dig(autoscaler, 'spec.scaleTargetRef.name', '')}"
    )


def minimum(autoscaler: Obj, now: datetime) -> str:
    """The fewest replicas, as a cell."""
    found = dig(autoscaler, "spec.minReplicas")
    return UNSET if found is None else str(found)


def targets(autoscaler: Obj, now: datetime) -> str:
    """What is measured and what is aimed at, of the first two metrics."""
    metrics = dig(autoscaler, "spec.metrics", [])
    seen = dig(autoscaler, "status.currentMetrics", [])
    if not metrics:
        return NONE
    told = [_target(metric, seen[at] if at < len(seen) else {}) for at, metric in enumerate(metrics)]
    shown = ", ".join(told[:_SHOWN_METRICS])
    more = len(told) - _SHOWN_METRICS
    return f"{shown} + {more} more..." if more > 0 else shown


def _target(metric: Obj, status: Obj) -> str:
    type = metric.get("type") or ""
    field = f"{type[:1].lower()}{type[1:]}"
    source, current = metric.get(field) or {}, (status.get(field) or {}).get("current") or {}
    target = source.get("target") or {}
    if type in ("Resource", "ContainerResource"):
        return f"{source.get('name', '')}: {_resource(target, current)}"
    if type == "Pods":
        return f"{_known(current, 'averageValue')}/{target.get('averageValue', 0)}"
    if type not in ("Object", "External"):
        return "<unknown type>"
    if target.get("averageValue") is not None:
        return f"{_known(current, 'averageValue')}/{target['averageValue']} (avg)"
    return f"{_known(current, 'value')}/{target.get('value', 0)}"


def _resource(target: Obj, current: Obj) -> str:
    if target.get("averageValue") is not None:
        return f"{_known(current, 'averageValue')}/{target['averageValue']}"
    measured, aim = current.get("averageUtilization"), target.get("averageUtilization")
    return f"{UNKNOWN if measured is None else f'{measured}%'}/{'<auto>' if aim is None else f'{aim}%'}"


def _known(current: Obj, field: str) -> Any:
    found = current.get(field)
    return UNKNOWN if found is None else found


COLUMNS = (
    NAME,
    Column("Reference", reference, description="The workload that is scaled"),
    Column("Targets", targets, description="What is measured, and what is aimed at"),
    Column("MinPods", minimum, description="The fewest replicas"),
    Column("MaxPods", integer("spec.maxReplicas"), description="The most replicas"),
    Column("Replicas", integer("status.currentReplicas"), description="Replicas seen last"),
    AGE,
)
HorizontalPodAutoscaler = Kind(
    "HorizontalPodAutoscaler",
    "autoscaling/v2",
    "horizontalpodautoscalers",
    short_names=("hpa",),
    categories=("all",),
    subresources=("status",),
    default=default,
    default_of_whole=True,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    columns=COLUMNS,
)
