"""The Scale subresource: an object's replicas, wherever its kind has them (`Kind.scale`). Pure."""

from collections.abc import Mapping
from typing import Any

from minikube_py.errors import BadRequest, InternalError
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy, dig
from minikube_py.meta.selectors import from_label_selector
from minikube_py.meta.violations import NOT_NEGATIVE, invalid, invalid_error
from minikube_py.registry.entries import decoded, imagined
from minikube_py.store.base import Entry

SCALE = Kind("Scale", "autoscaling/v1", "scales")
"""The kind of what is stored nowhere, for its faults and its schema."""
_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(kind: Kind, obj: Obj) -> Obj:
    """The Scale (autoscaling/v1) of an object: its replicas wanted, seen, and its selector as text.
    Errors: InternalError where a custom resource has no replicas."""
    meta, paths = obj["metadata"], kind.scale
    replicas = dig(obj, paths.spec)
    if replicas is None and kind.schema is not None:
        raise InternalError(f'Internal error occurred: the spec replicas field ".{paths.spec}" does not exist')
    status: Obj = {"replicas": dig(obj, paths.status, 0)}
    if text := _selector(kind, obj):
        status["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": SCALE.api_version,
        "metadata": {key: meta[key] for key in _SHOWN if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _selector(kind: Kind, obj: Obj) -> str:
    """The selector as text: a label selector, a ReplicationController's map, or what a custom resource says."""
    if path := kind.scale.selector:
        return str(dig(obj, path, ""))
    selector = dig(obj, "spec.selector")
    if kind.schema is not None or not isinstance(selector, Mapping):
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(from_label_selector(selector))
    return ",".join(f"{key}={selector[key]}" for key in sorted(selector))


def scale_entry(kind: Kind, entry: Entry) -> Entry:
    """The entry of an object's Scale."""
    return imagined(entry.key, scale_of(kind, decoded(entry)), entry.revision)


def scaled(kind: Kind, obj: Obj, scale: Obj) -> Obj:
    """A copy of `obj` with the replicas and preconditions of `scale`. Errors: BadRequest, Invalid."""
    if scale.get("kind", "Scale") != "Scale":
        raise BadRequest(f"the kind in the data ({scale['kind']}) does not match the expected kind (Scale)")
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    name = obj["metadata"]["name"]
    if type(replicas) is not int:
        raise BadRequest(
            f'Scale in version "v1" cannot be handled as a Scale: spec.replicas is no integer: {replicas!r}'
        )
    if replicas < 0:
        raise invalid_error(SCALE, name, [invalid("spec.replicas", replicas, NOT_NEGATIVE)])
    changed: Obj = copy(obj)
    _put(changed, kind.scale.spec, replicas)
    given = scale.get("metadata") or {}
    changed["metadata"].pop("resourceVersion", None)
    for key in ("resourceVersion", "uid"):
        if given.get(key):
            changed["metadata"][key] = given[key]
    return changed


def scaled_config(kind: Kind, scale: Obj) -> Obj:
    """The applied configuration of the object that an applied Scale means."""
    config: Obj = {"metadata": scale["metadata"]}
    _put(config, kind.scale.spec, dig(scale, "spec.replicas", 0))
    return config


def _put(obj: Obj, path: str, value: Any) -> None:
    """Set the field at a dotted path, in place."""
    *above, last = path.split(".")
    for step in above:
        below = obj.get(step)
        if not isinstance(below, dict):
            below = obj[step] = {}
        obj = below
    obj[last] = value
