"""What defaults and strategies of several kinds share: filling in, resetting status, counting generations."""

from typing import Any

from minikube_py.meta.objects import Obj


def section(obj: Obj, key: str) -> Any:
    """The map at `key`, made where it is missing or null."""
    found = obj.get(key)
    if found is None:
        found = obj[key] = {}
    return found


def if_absent(obj: Obj, key: str, value: Any) -> None:
    """Set `key` where it is missing or null (the default of an optional field)."""
    if obj.get(key) is None:
        obj[key] = value


def if_empty(obj: Obj, key: str, value: Any) -> None:
    """Set `key` where it is missing, null, or empty (the default of a plain text or list)."""
    if not obj.get(key):
        obj[key] = value


def drop(obj: Obj, *keys: str) -> None:
    """Remove keys, where they are."""
    for key in keys:
        obj.pop(key, None)


def count_generation(obj: Obj, old: Obj | None) -> None:
    """metadata.generation: 1 at creation, one more whenever the spec changes."""
    metadata = section(obj, "metadata")
    if old is None:
        metadata["generation"] = 1
        return
    generation = (old.get("metadata") or {}).get("generation") or 0
    metadata["generation"] = generation + (obj.get("spec") != old.get("spec"))


def fresh_status(obj: Obj, old: Obj | None) -> None:
    """The strategy of kinds with a spec and a status: nobody sets the status of what he creates, and changes
    of the spec are counted."""
    if old is None:
        obj["status"] = {}
    count_generation(obj, old)
