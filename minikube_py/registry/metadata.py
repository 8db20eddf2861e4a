"""Object metadata as the API server keeps it: system fields, names, generations, finalizers. Pure but for uids.

The functions change the request's own object in place; the stored one is only read.
"""

import random
from collections.abc import Callable, Sequence

from minikube_py.errors import BadRequest, Conflict
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, key_of, new_uid
from minikube_py.registry import faults

GENERATED_LENGTH = 5
MAX_GENERATE_NAME = 63 - GENERATED_LENGTH
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, nothing that looks like something else
KEPT = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
)
"""What an update takes from the stored object, whatever the request says."""


def generated_name(base: str, choice: Callable[[str], str] = random.choice) -> str:
    """A name that begins with `base` and ends in five random characters."""
    return base[:MAX_GENERATE_NAME] + "".join(choice(ALPHABET) for _ in range(GENERATED_LENGTH))


def check_identity(kind: Kind, obj: Obj, namespace: str, name: str = "") -> Obj:
    """Agree the body with the URL: apiVersion, kind, namespace and name, filled in where the body has none.
    Returns the metadata. Errors: BadRequest."""
    if obj.setdefault("apiVersion", kind.api_version) != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({obj['apiVersion']}) does not match the expected API version "
            f"({kind.api_version})"
        )
    if obj.setdefault("kind", kind.kind) != kind.kind:
        raise BadRequest(f"the kind in the data ({obj['kind']}) does not match the expected kind ({kind.kind})")
    meta = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    if not isinstance(meta, dict):
        raise BadRequest(
            f"{kind.kind} in version {kind.version!r} cannot be handled: metadata must be an object"
        )
    _check_namespace(kind, meta, namespace)
    if name:
        meta.setdefault("name", name)
        check_name(meta, name)
    return meta


def check_name(meta: Obj, name: str) -> None:
    """Refuse an object that is not named as the URL says. Errors: BadRequest."""
    given = meta.get("name")
    if not given:
        why = "name must be provided"
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: {why}")
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")


def _check_namespace(kind: Kind, meta: Obj, namespace: str) -> None:
    given = meta.get("namespace") or ""
    if not kind.namespaced:
        meta.pop("namespace", None)
    elif given and given != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    else:
        meta["namespace"] = namespace


def fill_for_create(meta: Obj, now: str) -> None:
    """Set the system's fields of a new object; the name is generated where generateName asks for it."""
    for key in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
        meta.pop(key, None)
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = now
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generated_name(meta["generateName"])


def carry_over(meta: Obj, old: Obj) -> None:
    """Keep in an updated object's metadata what no client may change."""
    restore(meta, old, KEPT)
    meta.pop("selfLink", None)
    if old.get("generateName") and "generateName" not in meta:
        meta["generateName"] = old["generateName"]


def restore(meta: Obj, old: Obj, fields: Sequence[str]) -> None:
    """Give `fields` the values again that they have in the stored object's metadata."""
    for key in fields:
        if key in old:
            meta[key] = old[key]
        else:
            meta.pop(key, None)


def check_preconditions(kind: Kind, meta: Obj, old: Obj) -> None:
    """Refuse an update whose uid or resourceVersion is not that of the stored object. Errors: Conflict."""
    version, uid = meta.get("resourceVersion") or "", meta.get("uid") or ""
    if uid and uid != old["uid"]:
        raise faults.other_uid(kind, key_of({"metadata": old}), uid, old["uid"])
    if version not in ("", "0") and version != old["resourceVersion"]:
        raise faults.conflict(kind, old["name"])


def check_delete_preconditions(kind: Kind, old: Obj, uid: str, version: str) -> None:
    """Refuse a deletion whose preconditions do not hold. Errors: Conflict."""
    error: Conflict | None = None
    if uid and uid != old["uid"]:
        error = faults.undeletable(
            kind,
            old["name"],
            f"the UID in the precondition ({uid}) does not match the UID in record ({old['uid']}). "
            "The object might have been deleted and then recreated",
        )
    elif version and version != old["resourceVersion"]:
        error = faults.undeletable(
            kind,
            old["name"],
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({old['resourceVersion']}). The object might have been modified",
        )
    if error:
        raise error


def count_generation(obj: Obj, old: Obj | None, but: Sequence[str] = ("status",)) -> None:
    """metadata.generation: 1 at creation, one more with every change outside metadata and `but`."""
    if old is None:
        obj["metadata"]["generation"] = 1
        return
    changed = any(
        obj.get(key) != old.get(key) for key in obj.keys() | old.keys() if key not in ("metadata", *but)
    )
    obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + changed


def is_released(kind: Kind, obj: Obj) -> bool:
    """Whether nothing holds a deleted object any more: no finalizer, no grace period."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return not (kind.resource == "namespaces" and (obj.get("spec") or {}).get("finalizers"))
