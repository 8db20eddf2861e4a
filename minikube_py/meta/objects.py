"""Kubernetes objects are plain JSON dicts in Kubernetes' own shape; these read and build them.

Nothing here mutates its arguments unless its name says so. Objects from a cache are shared and read-only:
`copy` first.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

Obj = dict[str, Any]
"""An API object (or a part of one) as plain JSON."""


class Key(NamedTuple):
    """A namespaced object's identity within its kind; the namespace of a cluster-wide one is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Mapping[str, Any]) -> Key:
    """The namespace and name of `obj`."""
    meta = obj.get("metadata") or {}
    return Key(meta.get("namespace") or "", meta.get("name") or "")


def name_of(obj: Mapping[str, Any]) -> str:
    return (obj.get("metadata") or {}).get("name") or ""


def namespace_of(obj: Mapping[str, Any]) -> str:
    return (obj.get("metadata") or {}).get("namespace") or ""


def uid_of(obj: Mapping[str, Any]) -> str:
    return (obj.get("metadata") or {}).get("uid") or ""


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The labels of `obj`, or a new empty dict."""
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The annotations of `obj`, or a new empty dict."""
    return (obj.get("metadata") or {}).get("annotations") or {}


def revision_of(obj: Mapping[str, Any]) -> int:
    """The resourceVersion as a number, 0 where there is none."""
    return int((obj.get("metadata") or {}).get("resourceVersion") or 0)


def copy(obj: Any) -> Any:
    """A deep copy of a JSON value (an orjson round trip: the fastest there is)."""
    return orjson.loads(orjson.dumps(obj))


_VARIANT = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}


def new_uid() -> str:
    """A random UUID (version 4, RFC 9562) as text; a quarter of the cost of `uuid.uuid4`."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def dig(obj: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted `path` of maps, such as `spec.replicas`; `default` where a step is missing."""
    for step in path.split("."):
        if not isinstance(obj, dict) and not isinstance(obj, Mapping):  # the second test is slow
            return default
        obj = obj.get(step)
        if obj is None:
            return default
    return obj


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether the object's deletion has begun (it has a deletionTimestamp)."""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def owner_references(obj: Mapping[str, Any]) -> list[Obj]:
    return (obj.get("metadata") or {}).get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference marked as controller, or None."""
    for ref in owner_references(obj):  # a generator costs twice as much, and every change of a pod asks often
        if ref.get("controller"):
            return ref
    return None


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True, block: bool = True) -> Obj:
    """The reference by which a dependent names `owner` (which carries apiVersion and kind)."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": block,
    }


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as metav1.Time: `2026-01-01T00:00:00Z`."""
    return f"{moment.astimezone(UTC).isoformat(timespec='seconds')[:-6]}Z"


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, as metav1.MicroTime: `2026-01-01T00:00:00.000000Z`."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"


def parse_time(text: str) -> datetime:
    """The moment that a metav1.Time or MicroTime names. Errors: ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def condition(obj: Mapping[str, Any], type: str) -> Obj | None:
    """The entry of status.conditions of that type, or None."""
    for known in dig(obj, "status.conditions", ()):
        if known.get("type") == type:
            found: Obj = known
            return found
    return None


def condition_is(obj: Mapping[str, Any], type: str, status: str = "True") -> bool:
    found = condition(obj, type)
    return found is not None and found.get("status") == status


def with_condition(conditions: Iterable[Obj], new: Obj, now: datetime) -> list[Obj]:
    """`conditions` with `new` in the place of its type; lastTransitionTime moves only if the status changes."""
    result, placed = [], False
    for old in conditions:
        if old.get("type") != new["type"]:
            result.append(old)
            continue
        placed = True
        same = old.get("status") == new.get("status")
        changed_at = (old.get("lastTransitionTime") if same else None) or timestamp(now)
        result.append({**new, "lastTransitionTime": changed_at})
    if not placed:
        result.append({**new, "lastTransitionTime": timestamp(now)})
    return result


def containers_of(pod_spec: Mapping[str, Any]) -> Iterator[Obj]:
    """Every container of a pod spec: init, ordinary, ephemeral."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod_spec.get(field) or ()
