"""describe: everything about an object that a person may want to know, and its events."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from minikube_py.cli import output
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Obj, Resource, Session, must_exist, parse_targets, with_session

HIDDEN = {"managedFields", "resourceVersion", "generation", "selfLink"}


@click.command("describe")
@click.argument("targets", nargs=-1, required=True, metavar="TYPE [NAME...] | TYPE/NAME...")
@namespace_option
@click.option("-l", "--selector", default="", help="Label selector.")
@with_session
def command(session: Session, targets: tuple[str, ...], namespace: str, selector: str) -> None:
    """Show an object's fields and its events."""
    parts = []
    for resource, name in parse_targets(session, targets):
        for obj in _objects(session, resource, namespace, name, selector):
            events = _events(session, obj)
            parts.append("\n".join([*lines(obj), *event_lines(events, datetime.now(UTC))]))
    session.say("\n\n\n".join(parts) if parts else "No resources found.")


def _objects(session: Session, resource: Resource, namespace: str, name: str, selector: str) -> list[Obj]:
    if name:
        return [must_exist(session, resource, namespace, name)]
    answer = session.get(resource.path(namespace), labelSelector=selector)
    return [{"kind": resource.kind, "apiVersion": resource.api_version, **item} for item in answer["items"]]


def _events(session: Session, obj: Obj) -> list[Obj]:
    meta = obj["metadata"]
    fields = f"involvedObject.name={meta['name']},involvedObject.uid={meta.get('uid', '')}"
    path = f"/api/v1/namespaces/{meta.get('namespace') or 'default'}/events"
    found: list[Obj] = session.get(path, fieldSelector=fields)["items"]
    return sorted(found, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")


def lines(obj: Obj) -> Iterator[str]:
    """The object as indented headings and values."""
    meta = obj["metadata"]
    yield f"Name:         {meta['name']}"
    if meta.get("namespace"):
        yield f"Namespace:    {meta['namespace']}"
    for heading in ("labels", "annotations"):
        pairs = [f"{key}={value}" for key, value in sorted((meta.get(heading) or {}).items())]
        yield f"{heading.title() + ':':<14}" + f"\n{' ' * 14}".join(pairs or ["<none>"])
    yield f"API Version:  {obj['apiVersion']}"
    yield f"Kind:         {obj['kind']}"
    rest = {k: v for k, v in meta.items() if k not in HIDDEN | {"name", "namespace", "labels", "annotations"}}
    body = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
    yield from _tree({"metadata": rest, **_hide(obj["kind"], body)}, 0)


def _hide(kind: str, body: Obj) -> Obj:
    """A Secret's values are shown by their size only."""
    if kind != "Secret":
        return body
    sizes = {key: f"{len(value) * 3 // 4} bytes" for key, value in (body.get("data") or {}).items()}
    return {**body, "data": sizes}


def _tree(value: Any, depth: int) -> Iterator[str]:
    margin = "  " * depth
    for key, inner in value.items():
        title = _title(key)
        if isinstance(inner, dict) and inner:
            yield f"{margin}{title}:"
            yield from _tree(inner, depth + 1)
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            yield f"{margin}{title}:"
            for number, item in enumerate(inner):
                if number:
                    yield f"{margin}  --"
                yield from _tree(item, depth + 1)
        elif isinstance(inner, list):
            yield f"{margin}{title}:  {' '.join(map(str, inner)) or '<none>'}"
        else:
            text = str(inner).replace("\n", f"\n{margin}    ")
            yield f"{margin}{title}:  {text if text != '{}' else '<none>'}"


def _title(key: str) -> str:
    """`podIP` as `Pod IP`; keys that are no identifiers stay."""
    if not key.isalnum():
        return key
    words = "".join(f" {c}" if c.isupper() and not key[i - 1 : i].isupper() else c for i, c in enumerate(key))
    return words[:1].upper() + words[1:]


def event_lines(events: list[Obj], now: datetime) -> Iterator[str]:
    """The table of events at the end of a description."""
    if not events:
        yield "Events:  <none>"
        return
    rows = [["  Type", "Reason", "Age", "From", "Message"], ["  ----", "------", "----", "----", "-------"]]
    for event in events:
        last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
        age = short_duration((now - datetime.fromisoformat(last.replace("Z", "+00:00"))).total_seconds())
        count = event.get("count") or 1
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        seen = f"{age} (x{count})" if count > 1 else age
        rows.append([f"  {event.get('type')}", event.get("reason", ""), seen, source, event.get("message", "")])
    yield "Events:"
    yield output.table(rows)


def short_duration(seconds: float) -> str:
    """`42s`, `5m`, `3h`, `12d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
