"""Validation of a pod's volumes."""

from collections.abc import Iterable

from minikube_py.kinds.core.claimspec import validate_claim_spec
from minikube_py.kinds.paths import validate_relative_path
from minikube_py.kinds.podspec.fieldrefs import VOLUME_FIELDS, validate_field_ref, validate_resource_ref
from minikube_py.kinds.resourcenames import value_of
from minikube_py.kinds.volumesources import COMMON, Rule, choose_source, csi, git, needed
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.object_meta import validate_annotations, validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import is_quantity
from minikube_py.meta.violations import duplicate, forbidden, invalid, required

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_MIN_TOKEN, _MAX_TOKEN = 600, 1 << 32


def validate_volumes(volumes: Iterable[Obj], pod_name: str, path: str) -> Iterable[Violation]:
    """The refusals of a pod's volumes. `pod_name` names the claims of ephemeral ones; empty in a template."""
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        place, name = f"{path}[{index}]", volume.get("name") or ""
        yield from choose_source(volume, _RULES, place)
        if volume.get("ephemeral") is not None and pod_name and name:
            claim = f"{pod_name}-{name}"
            for reason in dns1123_subdomain(claim):
                yield invalid(f"{place}.name", name, f'PVC name "{claim}": {reason}')
        if not name:
            yield required(f"{place}.name")
        for reason in dns1123_label(name) if name else ():
            yield invalid(f"{place}.name", name, reason)
        if name and name in seen:
            yield duplicate(f"{place}.name", name)
        seen.add(name)


def _empty_dir(source: Obj, path: str) -> Iterable[Violation]:
    size = source.get("sizeLimit")
    if size is not None and (not is_quantity(size) or value_of(size) < 0):
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _files(name: str) -> Rule:
    """A rule of files made of the keys of an object that the field `name` names."""

    def rule(source: Obj, path: str) -> Iterable[Violation]:
        yield from needed(name)(source, path)
        yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
        yield from _items(source, path)

    return rule


def _mode(mode: int | None, path: str) -> Iterable[Violation]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(path, mode, _MODE)


def _items(source: Obj, path: str) -> Iterable[Violation]:
    for index, item in enumerate(source.get("items") or ()):
        place = f"{path}.items[{index}]"
        yield from needed("key", "path")(item, place)
        yield from validate_relative_path(item.get("path") or "", f"{place}.path")
        yield from _mode(item.get("mode"), f"{place}.mode")


def _projected(source: Obj, path: str) -> Iterable[Violation]:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    paths: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        place = f"{path}.sources[{index}]"
        kinds = [key for key in _PROJECTIONS if projection.get(key) is not None]
        for kind in kinds:
            content = projection[kind]
            yield from _PROJECTIONS[kind](content, f"{place}.{kind}")
            for file in [item.get("path") for item in content.get("items") or (content,)]:
                if file and file in paths:
                    yield invalid(path, content.get("name") or file, "conflicting duplicate paths")
                paths.add(file or "")
        if len(kinds) > 1:
            yield forbidden(place, "may not specify more than 1 volume type per source")


def _keys(content: Obj, path: str) -> Iterable[Violation]:
    yield from needed("name")(content, path)
    yield from _items(content, path)


def _token(source: Obj, path: str) -> Iterable[Violation]:
    seconds, base = source.get("expirationSeconds", 3600), path.partition(".sources[")[0]
    if seconds < _MIN_TOKEN:
        yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds > _MAX_TOKEN:
        told = "may not specify a duration larger than 2^32 seconds"
        yield invalid(f"{path}.expirationSeconds", seconds, told)
    yield from needed("path")(source, base)
    yield from validate_relative_path(source.get("path") or "", f"{base}.path")


def _downward(source: Obj, path: str) -> Iterable[Violation]:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        yield from needed("path")(item, path)
        yield from validate_relative_path(item.get("path") or "", f"{path}.path")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            yield from validate_field_ref(field, VOLUME_FIELDS, f"{path}.fieldRef")
            if resource is not None:
                told = "fieldRef and resourceFieldRef can not be specified simultaneously"
                yield invalid(path, "resource", told)
        elif resource is not None:
            yield from validate_resource_ref(resource, f"{path}.resourceFieldRef", of_volume=True)
        else:
            yield required(path, "one of fieldRef and resourceFieldRef is required")
        yield from _mode(item.get("mode"), f"{path}.mode")


def _ephemeral(source: Obj, path: str) -> Iterable[Violation]:
    template, place = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        yield required(place)
        return
    metadata = template.get("metadata") or {}
    yield from validate_annotations(metadata.get("annotations") or {}, f"{place}.metadata.annotations")
    yield from validate_labels(metadata.get("labels") or {}, f"{place}.metadata.labels")
    for field, value in metadata.items():
        if field not in ("annotations", "labels") and value:
            yield forbidden(f"{place}.metadata.{field}", "cannot be set")
    yield from validate_claim_spec(template.get("spec") or {}, f"{place}.spec")


_PROJECTIONS: dict[str, Rule] = {
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
}
_RULES: dict[str, Rule] = {
    "emptyDir": _empty_dir,
    **COMMON,
    "gitRepo": git,
    "secret": _files("secretName"),
    "persistentVolumeClaim": needed("claimName"),
    "downwardAPI": _downward,
    "configMap": _files("name"),
    "projected": _projected,
    "csi": csi,
    "ephemeral": _ephemeral,
}
