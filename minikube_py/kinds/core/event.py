"""Event: something that happened to an object, told to people."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import since, text
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig, namespace_of
from minikube_py.meta.violations import invalid, required

FIELDS: dict[str, str | tuple[str, ...]] = {
    **{
        f"involvedObject.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": "reason",
    "reportingComponent": "reportingComponent",
    "source": ("source.component", "reportingComponent"),
    "type": "type",
}


_MAX_REASON, _MAX_NOTE = 128, 1024
_CLUSTER_WIDE = ("default", "kube-system")


def validate(event: Obj, old: Obj | None) -> Iterable[Violation]:
    """An event lies in the namespace of what it is about; one of the new form (with eventTime) says who
    reports what."""
    namespace, about = namespace_of(event), dig(event, "involvedObject.namespace", "")
    allowed = _CLUSTER_WIDE if not about else (about,)
    if namespace not in allowed:
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")
    if not event.get("eventTime") or old is not None:
        return
    for field in ("reportingComponent", "reportingInstance", "action", "reason"):
        if not event.get(field):
            yield required("reportingController" if field == "reportingComponent" else field)
        elif len(event[field]) > _MAX_REASON:
            yield invalid(field, "", f"can have at most {_MAX_REASON} characters")
    if event.get("type") not in ("Normal", "Warning"):
        yield invalid("type", "", f"has invalid value: {event.get('type') or ''}")
    if len(event.get("message") or "") > _MAX_NOTE:
        yield invalid("message", "", f"can have at most {_MAX_NOTE} characters")


def _first_seen(event: Obj, now: datetime) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _last_seen(event: Obj, now: datetime) -> str:
    if series := event.get("series"):
        return since(series.get("lastObservedTime"), now)
    last = event.get("lastTimestamp")
    return since(last, now) if last else _first_seen(event, now)


def _count(event: Obj, now: datetime) -> int:
    if series := event.get("series"):
        return series.get("count") or 0
    return event.get("count") or 1


def _object(event: Obj, now: datetime) -> str:
    kind, name = dig(event, "involvedObject.kind", "").lower(), dig(event, "involvedObject.name", "")
    return f"{kind}/{name}" if name else kind


def _source(event: Obj, now: datetime) -> str:
    component = dig(event, "source.component") or event.get("reportingComponent") or ""
    host = dig(event, "source.host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _message(event: Obj, now: datetime) -> str:
    return (event.get("message") or "").strip()


Event = Kind(
    "Event",
    "v1",
    "events",
    short_names=("ev",),
    validate=validate,
    create_on_update=True,
    fields=FIELDS,
    columns=(
        Column("Last Seen", _last_seen, description="Time since it happened last"),
        Column("Type", text("type"), description="Normal or Warning"),
        Column("Reason", text("reason"), description="Why, in one word"),
        Column("Object", _object, description="What it happened to"),
        Column("Subobject", text("involvedObject.fieldPath"), priority=1, description="Which part of it"),
        Column("Source", _source, priority=1, description="Who reports it"),
        Column("Message", _message, description="What happened"),
        Column("First Seen", _first_seen, priority=1, description="Time since it happened first"),
        Column("Count", _count, priority=1, description="How often it happened"),
        Column("Name", "metadata.name", format="name", priority=1, description="Name of the event"),
    ),
)
