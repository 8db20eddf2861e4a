"""Builders of objects, and what a write makes of them: defaults, strategy, validation."""

from datetime import UTC, datetime
from typing import Any

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: int) -> str:
    """The timestamp of `seconds` before NOW."""
    return datetime.fromtimestamp(NOW.timestamp() - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name: str = "web", **fields: Any) -> Obj:
    return {"name": name, "namespace": "default", "uid": "uid-1", "creationTimestamp": ago(60), **fields}


def container(name: str = "main", image: str = "nginx:1.27", **fields: Any) -> Obj:
    return {"name": name, "image": image, **fields}


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(),
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def workload(kind: str, api_version: str = "apps/v1", **spec: Any) -> Obj:
    """A workload whose selector matches its template."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": meta(),
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container()]}},
            **spec,
        },
    }


def created(kind: Kind, obj: Obj) -> Obj:
    """What is stored when a client creates `obj`."""
    stored: Obj = copy(obj)
    kind.default(stored)
    kind.prepare(stored, None)
    return stored


def updated(kind: Kind, obj: Obj, old: Obj) -> Obj:
    """What is stored when a client replaces `old` by `obj`."""
    stored: Obj = copy(obj)
    if "status" in old:
        stored["status"] = copy(old["status"])
    kind.default(stored)
    kind.prepare(stored, old)
    return stored


def refusals(kind: Kind, obj: Obj, old: Obj | None = None) -> list[str]:
    """`field: message` of each violation of a create, or of an update of `old` as it is stored."""
    stored = created(kind, obj) if old is None else updated(kind, obj, old)
    return [f"{one.field}: {one.message}" for one in kind.validate(stored, old)]


def row(kind: Kind, obj: Obj) -> dict[str, Any]:
    """The table row of `obj` by column."""
    return {column.name: column.value(obj, NOW) for column in kind.columns}
