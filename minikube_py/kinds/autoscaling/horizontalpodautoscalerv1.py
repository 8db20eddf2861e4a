"""HorizontalPodAutoscaler (autoscaling/v1): the CPU utilization alone; the rest travels in annotations.

Stored in the form of autoscaling/v2. What v1 has no field for stands in annotations of
`autoscaling.alpha.kubernetes.io/`, in the shapes of `legacymetrics`, and comes back from there.
"""

from typing import Any

import orjson

from minikube_py.kinds.autoscaling import legacymetrics
from minikube_py.kinds.autoscaling.horizontalpodautoscaler import (
    COLUMNS,
    DEFAULT_CPU,
    HorizontalPodAutoscaler,
    cpu_metric,
)
from minikube_py.kinds.strategy import if_absent, section
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR = f"{PREFIX}metrics", f"{PREFIX}behavior"
CURRENT_METRICS, CONDITIONS = f"{PREFIX}current-metrics", f"{PREFIX}conditions"
ANNOTATIONS = (METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS)


def default(autoscaler: Obj) -> None:
    if_absent(section(autoscaler, "spec"), "minReplicas", 1)


def to_v2(autoscaler: Obj) -> Obj:
    """The autoscaler as autoscaling/v2 has it."""
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    notes = (autoscaler.get("metadata") or {}).get("annotations") or {}
    found = {name: _read(notes.get(name)) for name in ANNOTATIONS}
    new_spec = {key: value for key, value in spec.items() if key != "targetCPUUtilizationPercentage"}
    utilization = spec.get("targetCPUUtilizationPercentage")
    metrics = [] if utilization is None else [cpu_metric(utilization)]
    metrics += [legacymetrics.metric_to_v2(one) for one in _listed(found[METRICS])]
    new_spec["metrics"] = metrics or [cpu_metric(DEFAULT_CPU)]
    if isinstance(found[BEHAVIOR], dict):
        new_spec["behavior"] = found[BEHAVIOR]
    new_status = {key: value for key, value in status.items() if key != "currentCPUUtilizationPercentage"}
    if _listed(found[CURRENT_METRICS]):
        new_status["currentMetrics"] = [legacymetrics.status_to_v2(one) for one in found[CURRENT_METRICS]]
    elif (current := status.get("currentCPUUtilizationPercentage")) is not None:
        source = {"name": "cpu", "current": {"averageUtilization": current}}
        new_status["currentMetrics"] = [{"type": "Resource", "resource": source}]
    if _listed(found[CONDITIONS]):
        new_status["conditions"] = found[CONDITIONS]
    return _rebuilt(autoscaler, {}, new_spec, new_status)


def from_v2(autoscaler: Obj) -> Obj:
    """The autoscaler as autoscaling/v1 has it."""
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    new_spec = {key: value for key, value in spec.items() if key not in ("metrics", "behavior")}
    others = []
    for metric in spec.get("metrics") or ():
        utilization = _cpu(metric, "target")
        if utilization is None:
            others.append(legacymetrics.metric_from_v2(metric))
        else:
            new_spec.setdefault("targetCPUUtilizationPercentage", utilization)
    new_status = {key: value for key, value in status.items() if key not in ("currentMetrics", "conditions")}
    current = status.get("currentMetrics") or []
    for seen in current:
        if (utilization := _cpu(seen, "current")) is not None:
            new_status["currentCPUUtilizationPercentage"] = utilization
    notes: dict[str, Any] = {
        METRICS: others,
        BEHAVIOR: spec.get("behavior"),
        CURRENT_METRICS: [legacymetrics.status_from_v2(seen) for seen in current],
        CONDITIONS: status.get("conditions"),
    }
    if "status" in autoscaler:
        new_status.setdefault("currentReplicas", 0)
        new_status.setdefault("desiredReplicas", 0)
    return _rebuilt(autoscaler, notes, new_spec, new_status)


def _cpu(metric: Obj, field: str) -> int | None:
    """The CPU utilization of a metric, None where it is about something else."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get(field) or {}).get("averageUtilization")
    return found


def _read(text: str | None) -> Any:
    """The JSON of an annotation; None for none, or for one that cannot be read."""
    try:
        return orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        return None


def _listed(found: Any) -> list[Obj]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _rebuilt(autoscaler: Obj, notes: dict[str, Any], spec: Obj, status: Obj) -> Obj:
    """`autoscaler` with another spec and status, and of the annotations above just `notes`."""
    made = {**autoscaler, "spec": spec}
    if "status" in autoscaler:
        made["status"] = status
    metadata = dict(made.get("metadata") or {})
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in ANNOTATIONS}
    kept |= {name: orjson.dumps(value).decode() for name, value in notes.items() if value}
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    return made | {"metadata": metadata}


HorizontalPodAutoscalerV1 = Kind(
    "HorizontalPodAutoscaler",
    "autoscaling/v1",
    "horizontalpodautoscalers",
    short_names=("hpa",),
    categories=("all",),
    subresources=("status",),
    default=default,
    columns=COLUMNS,
    storage=HorizontalPodAutoscaler,
    to_storage=to_v2,
    from_storage=from_v2,
)
