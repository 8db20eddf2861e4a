"""NodeMetrics and PodMetrics, which are made for each request and stored nowhere."""

from datetime import datetime
from typing import Any

from minikube_py.kinds.columns import NAME
from minikube_py.meta.kind import Cell, Column, Kind
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.quantity import format_quantity, parse_quantity

API_VERSION = "metrics.k8s.io/v1beta1"
GROUP, VERSION = API_VERSION.split("/")
_QUANTITY = {"x-kubernetes-int-or-string": True}
_USAGE: dict[str, Any] = {"type": "object", "additionalProperties": _QUANTITY}
_COMMON: dict[str, Any] = {
    "timestamp": {"type": "string", "format": "date-time"},
    "window": {"type": "string"},
}
_CONTAINER = {"type": "object", "properties": {"name": {"type": "string"}, "usage": _USAGE}}


def _total(resource: str) -> Cell:
    def cell(metrics: Obj, now: datetime) -> str:
        parts = metrics.get("containers") or [metrics]
        amounts = [parse_quantity(dig(part, f"usage.{resource}") or "0") for part in parts]
        total = sum(amounts)
        return f"{int(total * 10**9)}n" if resource == "cpu" else format_quantity(total, "BinarySI")

    return cell


_COLUMNS = (
    NAME,
    Column("cpu", _total("cpu"), description="CPU used, in cores"),
    Column("memory", _total("memory"), description="Memory used, the working set in bytes"),
    Column("Window", "window", description="The time over which the CPU usage was measured"),
)
NODE_METRICS = Kind(
    "NodeMetrics",
    API_VERSION,
    "nodes",
    singular="nodemetrics",
    namespaced=False,
    verbs=("get", "list"),
    columns=_COLUMNS,
    schema={"type": "object", "properties": {**_COMMON, "usage": _USAGE}},
)
POD_METRICS = Kind(
    "PodMetrics",
    API_VERSION,
    "pods",
    singular="podmetrics",
    verbs=("get", "list"),
    columns=_COLUMNS,
    schema={"type": "object", "properties": {**_COMMON, "containers": {"type": "array", "items": _CONTAINER}}},
)
KINDS = (NODE_METRICS, POD_METRICS)
