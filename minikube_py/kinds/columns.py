"""Cells of server-side Tables that several kinds share, in the words of `kubectl get`."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from minikube_py.meta.kind import Column
from minikube_py.meta.objects import Obj, dig, parse_time
from minikube_py.meta.selectors import from_label_selector

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(elapsed: timedelta | float) -> str:
    """Two or three significant figures of a duration (seconds): `45s`, `3m20s`, `5h`, `2d3h`, `4y12d`.
    A few seconds below zero count as now, more are `<invalid>`."""
    total = elapsed.total_seconds() if isinstance(elapsed, timedelta) else elapsed
    seconds = int(total)
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE:
        return _pair(seconds, _MINUTE, "m", 1, "s")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _pair(seconds, _HOUR, "h", _MINUTE, "m")
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _pair(seconds, _DAY, "d", _HOUR, "h")
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    if seconds < 8 * _YEAR:
        return _pair(seconds, _YEAR, "y", _DAY, "d")
    return f"{seconds // _YEAR}y"


def _pair(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    whole, rest = seconds // large, seconds % large // small
    return f"{whole}{large_unit}{rest}{small_unit}" if rest else f"{whole}{large_unit}"


def since(moment: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 `moment` was; `<unknown>` where there is none."""
    if not moment:
        return UNKNOWN
    try:
        return human_duration(now - parse_time(moment))
    except (ValueError, TypeError):
        return "<invalid>"


def age(obj: Obj, now: datetime) -> str:
    """How long ago the object was created."""
    return since(dig(obj, "metadata.creationTimestamp"), now)


def created_at(obj: Obj, now: datetime) -> str | None:
    """The creation time in UTC, as kinds without columns of their own show it."""
    moment = dig(obj, "metadata.creationTimestamp")
    return parse_time(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def format_labels(labels: Mapping[str, Any] | None) -> str:
    """`a=b,c=d` in the order of the keys, `<none>` where there are none."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as a selector expression, empty where it selects everything."""
    try:
        return str(from_label_selector(selector)) if selector else ""
    except ValueError:
        return "<invalid>"


def first_three(texts: Iterable[str]) -> tuple[str, int]:
    """The first three texts joined by commas, and how many more there are."""
    found = list(texts)
    return ",".join(found[:3]), max(0, len(found) - 3)


def integer(path: str, default: int = 0) -> Any:
    """A cell of the number at `path`, `default` where it is missing."""
    return lambda obj, now: dig(obj, path, default)


def text(path: str, default: str = "") -> Any:
    """A cell of the text at `path`, `default` where it is missing or empty."""
    return lambda obj, now: dig(obj, path) or default


def names_of_containers(obj: Obj, now: datetime) -> str:
    """The names of a template's containers, joined."""
    return ",".join(c.get("name", "") for c in dig(obj, "spec.template.spec.containers", ()))


def images_of_containers(obj: Obj, now: datetime) -> str:
    """The images of a template's containers, joined."""
    return ",".join(c.get("image", "") for c in dig(obj, "spec.template.spec.containers", ()))


def selector_or_none(obj: Obj, now: datetime) -> str:
    """The LabelSelector in spec.selector as text."""
    return selector_text(dig(obj, "spec.selector")) or NONE


NAME = Column("Name", "metadata.name", format="name", description="Name of the object, unique in its namespace")
AGE = Column("Age", age, description="Time since the object was created")
CREATED_AT = Column("Created At", created_at, "date", description="When the object was created")
CONTAINERS = Column(
    "Containers", names_of_containers, priority=1, description="Names of each container in the template."
)
IMAGES = Column(
    "Images",
    images_of_containers,
    priority=1,
    description="Images referenced by each container in the template.",
)
SELECTOR = Column("Selector", selector_or_none, priority=1, description="Label selector of the pods")
REPLICAS = (
    Column("Desired", integer("spec.replicas"), "integer", description="Wanted pods"),
    Column("Current", integer("status.replicas"), "integer", description="Pods there are"),
    Column("Ready", integer("status.readyReplicas"), "integer", description="Ready pods"),
)
DEFAULT_COLUMNS = (NAME, CREATED_AT)
"""The columns of a kind that has none of its own."""
