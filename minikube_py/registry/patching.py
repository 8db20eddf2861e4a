"""PATCH: a patch applied to the stored object, and the result written as an update.

A patch is tried again on the newer object when another write comes first, up to five times, unless it carries a
resourceVersion. Server-side apply creates the object where there is none.
"""

from typing import Any

import orjson

from minikube_py.aio.haste import aside
from minikube_py.errors import AlreadyExists, BadRequest, Invalid, UnsupportedMediaType
from minikube_py.meta.decoding import Mistyped
from minikube_py.meta.goformat import go_text
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, copy, key_of, name_of, namespace_of
from minikube_py.meta.patch.apply import kind_text
from minikube_py.meta.patch.json import apply_json_patch
from minikube_py.meta.patch.merge import apply_merge_patch
from minikube_py.meta.patch.strategic import apply_strategic_patch
from minikube_py.meta.schema import Type, type_of
from minikube_py.meta.violations import invalid
from minikube_py.registry import faults, tracking, validating
from minikube_py.registry.base import Patch
from minikube_py.registry.entries import decoded
from minikube_py.registry.metadata import check_identity, check_name, restore
from minikube_py.registry.pipeline import Pipeline, Write
from minikube_py.registry.scale import SCALE, scale_entry, scale_of, scaled, scaled_config
from minikube_py.registry.writing import Writer
from minikube_py.store.base import Entry, RevisionMismatch

RETRIES = 5
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)


class Patcher:
    """Patches objects, their status and their scale."""

    def __init__(self, pipeline: Pipeline, writer: Writer) -> None:
        self._pipeline = pipeline
        self._writer = writer

    async def patch(self, write: Write, key: Key, patch: Patch) -> tuple[Entry, bool]:
        """Patch the object, or the part that the write is to; whether it was created.
        Errors: NotFound, Conflict, Invalid, BadRequest, UnsupportedMediaType."""
        kind = write.kind
        for _ in range(RETRIES):
            entry = await self._pipeline.current(kind, kind.storage_key(*key))
            try:
                if entry is not None:
                    return await self._patched(write, entry, patch), False
                if patch.type != APPLY_PATCH or write.subresource:
                    raise faults.not_found(kind, key.name)
                return await self._created(write, key, patch), True
            except RevisionMismatch:
                if _names_version(patch):
                    break
        raise faults.conflict(kind, key.name)

    async def _patched(self, write: Write, entry: Entry, patch: Patch) -> Entry:
        if patch.type == APPLY_PATCH:
            return await self._applied(write, entry, patch)
        if write.subresource == "scale":
            kind, stored = write.kind, decoded(entry)
            scale = changed(SCALE, scale_of(kind, stored), patch, type_of(SCALE))
            return scale_entry(kind, await self._writer.replace(write, entry, scaled(kind, stored, scale)))
        stored = await self._live(write, entry)
        new = await aside(max(write.context.size, len(entry.data)), self._changed, write, stored, patch)
        return await self._writer.replace(write, entry, new)

    def _changed(self, write: Write, stored: Obj, patch: Patch) -> Obj:
        kind = write.version
        new = changed(kind, stored, patch, type_of(kind))
        check_identity(kind, new, namespace_of(stored))
        new = owned(write, _structured(write, new, patch, stored), stored)
        check_name(new["metadata"], name_of(stored))
        return self._writer.judged(write, new)

    async def _live(self, write: Write, entry: Entry) -> Obj:
        """The stored object as the client of the write sees it."""
        return decoded(await self._pipeline.versions.shown(write.version, entry))

    async def _applied(self, write: Write, entry: Entry, patch: Patch) -> Entry:
        stored = await self._live(write, entry)
        size = max(write.context.size, len(entry.data))
        new = await aside(size, self._apply, write, key_of(stored), stored, patch)
        replaced = await self._writer.replace(write, entry, self._writer.judged(write, new), applied=True)
        return scale_entry(write.kind, replaced) if write.subresource == "scale" else replaced

    def _apply(self, write: Write, key: Key, stored: Obj | None, patch: Patch) -> Obj:
        """What an applied configuration makes of the stored object, or of none; the caller's own."""
        config = _config(write, patch, key)
        if stored is None and (uid := config["metadata"].get("uid")):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise faults.conflict(write.kind, key.name, why)
        how = tracking.Applying(patch.force, self._pipeline.versions.views(write.version))
        new = tracking.applied(write, stored, config, self._pipeline.now(), how)
        check_name(new["metadata"], key.name)
        made: Obj = copy(new)
        return made

    async def _created(self, write: Write, key: Key, patch: Patch) -> Entry:
        new = await aside(write.context.size, self._apply, write, key, None, patch)
        write.context.creating()
        try:
            return await self._writer.create(write, key.namespace, new, applied=True)
        except AlreadyExists as error:  # another write came first: apply to what it made
            raise RevisionMismatch(write.kind.storage_key(*key), 0, 0) from error


def owned(write: Write, new: Obj, stored: Obj) -> Obj:
    """A copy of a patched object as far as the write is to it and later stages may change it: not of the
    status, which only its own writes set. Of metadata, and of a part that is still the stored one, what is
    below the first levels stays shared: no stage changes it."""
    is_shared = write.version is write.kind and write.kind.shares_parts and write.to_main
    made: Obj = {}
    for key, value in new.items():
        is_stored = is_shared and value is stored.get(key)
        if key == "metadata":
            made[key] = {
                name: item.copy() if item.__class__ is dict or item.__class__ is list else item
                for name, item in value.items()
            }
        elif not isinstance(value, dict | list):
            made[key] = value
        elif is_stored:
            made[key] = value.copy()
        elif key != "status" or not (write.to_main and write.kind.has_status):
            made[key] = copy(value)
    return made


def _structured(write: Write, new: Obj, patch: Patch, stored: Obj) -> Obj:
    """The patched object with known fields of the right types; what is wrong with it is the patch's fault.
    Errors: Invalid."""
    try:
        return validating.structured(write.version, new, write.context, stored)
    except BadRequest as error:
        why = error.message.partition(f"cannot be handled as a {write.version.kind}: ")[2] or error.message
        if patch.type == STRATEGIC_PATCH and isinstance(error.__cause__, Mistyped):
            why = error.__cause__.restored
        cause = invalid("patch", _shown(new, patch), why)
        text = f' "" is invalid: {cause.field}: {cause.message}'
        raise Invalid(text, causes=(cause,)) from error


def _shown(new: Obj, patch: Patch) -> str:
    """What a refusal shows: of a strategic patch the patch, of another one the patched object."""
    if patch.type == STRATEGIC_PATCH:
        return go_text(patch.body)
    return orjson.dumps(new, option=orjson.OPT_SORT_KEYS).decode()


def _config(write: Write, patch: Patch, key: Key) -> Obj:
    """The applied configuration, as one of the object itself. Errors: BadRequest, Invalid."""
    if not write.context.field_manager:
        raise Invalid(
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
        )
    if not isinstance(patch.body, dict):
        raise BadRequest("error decoding YAML: an applied configuration must be an object")
    config: Obj = copy(patch.body)
    if write.subresource == "scale":
        _check_type(SCALE, config)
        check_identity(SCALE, config, key.namespace)
        config = {**scaled_config(write.kind, config), "apiVersion": write.version.api_version}
        config["kind"] = write.version.kind
    _check_type(write.version, config)
    check_identity(write.version, config, key.namespace)
    if write.subresource == "status":
        restore(config["metadata"], {}, write.kind.status_keeps)
    return config


def _check_type(kind: Kind, config: Obj) -> None:
    """Refuse a configuration that does not say that it is of `kind`. Errors: BadRequest."""
    if (config.get("apiVersion"), config.get("kind")) != (kind.api_version, kind.kind):
        raise BadRequest(f"invalid object type: {kind_text(config)}")


def _names_version(patch: Patch) -> bool:
    body = patch.body
    return isinstance(body, dict) and bool((body.get("metadata") or {}).get("resourceVersion"))


def changed(kind: Kind, obj: Obj, patch: Patch, type: Type) -> Obj:
    """A new object with metadata of its own: `obj` of `type` as the patch makes it, which shares parts with it.
    Errors: BadRequest, Invalid, UnsupportedMediaType."""
    if patch.type == JSON_PATCH:
        result = apply_json_patch(obj, patch.body)
    elif patch.type == MERGE_PATCH:
        result = apply_merge_patch(obj, patch.body)
    elif patch.type == STRATEGIC_PATCH and kind.schema is None:
        result = apply_strategic_patch(obj, patch.body, type)
    else:
        accepted = [one for one in TYPES if kind.schema is None or one != STRATEGIC_PATCH]
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted)
        )
    if not isinstance(result, dict):
        raise BadRequest(f"the patch makes a {type_name(result)} of the object")
    meta = result.get("metadata")
    return {**result, "metadata": {**meta}} if isinstance(meta, dict) else {**result}


def type_name(value: Any) -> str:
    """What JSON calls the value."""
    return "null" if value is None else "list" if isinstance(value, list) else "scalar"
