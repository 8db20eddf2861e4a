"""Event (events.k8s.io/v1): the newer form of the Events of the core group, in which they are stored.

Both groups serve the same objects: `note` is the message, `regarding` what is involved, and the fields that
the newer form keeps for old reporters are called deprecated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from minikube_py.kinds.core.event import Event
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import immutable, invalid, required

NAMES = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Fields of events.k8s.io/v1, and their names in the core group; all others are called the same."""
TYPES = ("Normal", "Warning")
_DEPRECATED = tuple(name for name in NAMES if name.startswith("deprecated"))
_FIXED = (
    "eventTime",
    "reportingController",
    "reportingInstance",
    "action",
    "reason",
    "regarding",
    "related",
    "note",
    "type",
)
_BACK = {old: new for new, old in NAMES.items()}


def _renamed(event: Obj, names: Mapping[str, str]) -> Obj:
    return {names.get(field, field): value for field, value in event.items()}


def to_core(event: Obj) -> Obj:
    """The event as the core group has it."""
    return _renamed(event, NAMES)


def from_core(event: Obj) -> Obj:
    """The event as events.k8s.io has it."""
    return _renamed(event, _BACK)


def _column(shown: Column) -> Column:
    """A column of the core group's events, shown of an event in the newer form."""

    def cell(event: Obj, now: datetime) -> Any:
        return shown.value(to_core(event), now)

    return replace(shown, cell=cell)


def validate(event: Obj, old: Obj | None) -> Iterable[Violation]:
    """An event in the newer form has a time, and on creation none of what is deprecated."""
    if event.get("type") not in TYPES:
        yield invalid("type", "", f"has invalid value: {event.get('type') or ''}")
    if not event.get("eventTime"):
        yield required("eventTime")
    for field in () if old is not None else _DEPRECATED:
        if event.get(field):
            yield invalid(field, "", "needs to be unset")
    for field in _FIXED if old is not None else ():
        yield from immutable(event, old or {}, field)


EventsEvent = Kind(
    "Event",
    "events.k8s.io/v1",
    "events",
    short_names=("ev",),
    create_on_update=True,
    validate=validate,
    fields={
        **{
            f"regarding.{name}": f"regarding.{name}"
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": "reason",
        "reportingController": "reportingController",
        "type": "type",
    },
    columns=tuple(map(_column, Event.columns)),
    storage=Event,
    to_storage=to_core,
    from_storage=from_core,
)
