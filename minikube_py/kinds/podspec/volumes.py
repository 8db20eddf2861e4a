"""Validation of volumes and of their sources."""

from collections.abc import Iterable
from typing import Any

from minikube_py.kinds.podspec.resources import validate_amount
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice",
)  # fmt: skip
_MIN_TOKEN, _MAX_TOKEN = 600, 1 << 32
FIELD_PATHS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)


def validate_volumes(volumes: Iterable[Obj], path: str) -> Iterable[Violation]:
    """The refusals of a pod's volumes."""
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        place, name = f"{path}[{index}]", volume.get("name") or ""
        if not name:
            yield required(f"{place}.name")
        for reason in dns1123_label(name) if name else ():
            yield invalid(f"{place}.name", name, reason)
        if name and name in seen:
            yield duplicate(f"{place}.name", name)
        seen.add(name)
        yield from _source(volume, place)


def _source(volume: Obj, path: str) -> Iterable[Violation]:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    if not sources:
        yield required(path, "must specify a volume type")
        return
    for extra in sources[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    rules: dict[str, Any] = {
        "hostPath": _host_path,
        "emptyDir": _empty_dir,
        "secret": lambda source, place: _files(source, place, "secretName"),
        "configMap": lambda source, place: _files(source, place, "name"),
        "projected": _projected,
        "downwardAPI": _downward,
        "persistentVolumeClaim": lambda source, place: _needed(source, "claimName", place),
        "nfs": _nfs,
    }
    if rule := rules.get(sources[0]):
        yield from rule(volume[sources[0]], f"{path}.{sources[0]}")


def _needed(source: Obj, field: str, path: str) -> Iterable[Violation]:
    if not source.get(field):
        yield required(f"{path}.{field}")


def _host_path(source: Obj, path: str) -> Iterable[Violation]:
    yield from _needed(source, "path", path)
    if ".." in (source.get("path") or "").split("/"):
        yield invalid(f"{path}.path", source["path"], "must not contain '..'")
    if source.get("type") not in (None, *_HOST_PATH_TYPES):
        yield not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES)


def _empty_dir(source: Obj, path: str) -> Iterable[Violation]:
    if source.get("sizeLimit") is not None and any(validate_amount(source["sizeLimit"], path)):
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _nfs(source: Obj, path: str) -> Iterable[Violation]:
    yield from _needed(source, "server", path)
    yield from _needed(source, "path", path)
    if source.get("path") and not source["path"].startswith("/"):
        yield invalid(f"{path}.path", source["path"], "must be an absolute path")


def _files(source: Obj, path: str, name: str) -> Iterable[Violation]:
    yield from _needed(source, name, path)
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    yield from _items(source, path)


def _mode(mode: int | None, path: str) -> Iterable[Violation]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(path, mode, _MODE)


def _items(source: Obj, path: str) -> Iterable[Violation]:
    for index, item in enumerate(source.get("items") or ()):
        place = f"{path}.items[{index}]"
        yield from _needed(item, "key", place)
        yield from _needed(item, "path", place)
        yield from validate_relative_path(item.get("path") or "", f"{place}.path")
        yield from _mode(item.get("mode"), f"{place}.mode")


def validate_relative_path(text: str, path: str) -> Iterable[Violation]:
    """The refusals of a path below a volume: it may not leave it."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    if ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")
    elif text.startswith(".."):
        yield invalid(path, text, "must not start with '..'")


def _projected(source: Obj, path: str) -> Iterable[Violation]:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    paths: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        place = f"{path}.sources[{index}]"
        kinds = [key for key, value in projection.items() if value is not None]
        for extra in kinds[1:]:
            yield forbidden(f"{place}.{extra}", "may not specify more than 1 volume type")
        if not kinds:
            yield required(place, "must specify a volume type")
            continue
        content, place = projection[kinds[0]], f"{place}.{kinds[0]}"
        if kinds[0] in ("secret", "configMap"):
            yield from _needed(content, "name", place)
            yield from _items(content, place)
        elif kinds[0] == "downwardAPI":
            yield from _downward(content, place)
        elif kinds[0] == "serviceAccountToken":
            yield from _token(content, place)
        files = [item.get("path") for item in content.get("items") or ()] or [content.get("path")]
        for file in filter(None, files):
            if file in paths:
                yield invalid(place, file, "conflicting duplicate paths")
            paths.add(file)


def _token(source: Obj, path: str) -> Iterable[Violation]:
    seconds = source.get("expirationSeconds", 3600)
    if seconds < _MIN_TOKEN:
        yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds > _MAX_TOKEN:
        told = "may not specify a duration larger than 2^32 seconds"
        yield invalid(f"{path}.expirationSeconds", seconds, told)
    yield from _needed(source, "path", path)
    yield from validate_relative_path(source.get("path") or "", f"{path}.path")


def _downward(source: Obj, path: str) -> Iterable[Violation]:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        place = f"{path}.items[{index}]"
        yield from _needed(item, "path", place)
        yield from validate_relative_path(item.get("path") or "", f"{place}.path")
        yield from _mode(item.get("mode"), f"{place}.mode")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field and resource:
            yield invalid(
                place, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
            )
        elif field:
            yield from validate_field_ref(field, FIELD_PATHS, f"{place}.fieldRef")
        elif resource:
            yield from _needed(resource, "containerName", f"{place}.resourceFieldRef")
            yield from _needed(resource, "resource", f"{place}.resourceFieldRef")
        else:
            yield required(place, "one of fieldRef and resourceFieldRef is required")


def validate_field_ref(reference: Obj, supported: Iterable[str], path: str) -> Iterable[Violation]:
    """The refusals of a reference to one of the pod's own fields; labels and annotations may name a key."""
    field = reference.get("fieldPath") or ""
    if not field:
        yield required(f"{path}.fieldPath")
        return
    base, bracket, _ = field.partition("['")
    if bracket and base in ("metadata.labels", "metadata.annotations") and field.endswith("']"):
        return
    if field not in supported:
        yield not_supported(f"{path}.fieldPath", field, supported)
