"""Validation of what every object shares: its metadata, on creation and on update."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import (
    NameRule,
    dns1123_label,
    dns1123_subdomain,
    for_prefix,
    label_value,
    qualified_name,
)
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import (
    IMMUTABLE,
    NOT_NEGATIVE,
    duplicate,
    forbidden,
    invalid,
    required,
    too_long,
)

ANNOTATIONS_LIMIT = 256 * 1024
STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))


def validate_object_meta(
    obj: Mapping[str, Any],
    *,
    namespaced: bool,
    name_rule: NameRule = dns1123_subdomain,
    path: str = "metadata",
    any_finalizer: bool = False,
) -> Iterable[Violation]:
    """The refusals of an object's metadata: name, namespace, labels, annotations, owners, finalizers, which
    need no domain where there is `any_finalizer`."""
    meta = obj.get("metadata") or {}
    yield from _names(meta, name_rule, path)
    namespace = meta.get("namespace") or ""
    if namespaced and not namespace:
        yield required(f"{path}.namespace")
    elif namespaced:
        for reason in dns1123_label(namespace):
            yield invalid(f"{path}.namespace", namespace, reason)
    elif namespace:
        yield forbidden(f"{path}.namespace", "not allowed on this type")
    if (meta.get("generation") or 0) < 0:
        yield invalid(f"{path}.generation", meta["generation"], NOT_NEGATIVE)
    yield from _notes(meta, {}, path, any_finalizer=any_finalizer)


def validate_changed_meta(
    obj: Mapping[str, Any], old: Mapping[str, Any], *, path: str = "metadata", any_finalizer: bool = False
) -> Iterable[Violation]:
    """As `validate_object_meta` for an update that changes no name: of what `old`, which was valid, has too,
    nothing is said again."""
    yield from _notes(obj.get("metadata") or {}, old.get("metadata") or {}, path, any_finalizer=any_finalizer)


def _notes(
    meta: Mapping[str, Any], known: Mapping[str, Any], path: str, *, any_finalizer: bool
) -> Iterable[Violation]:
    """The refusals of what stands in metadata beside names, but not of what `known` has too."""
    if (labels := meta.get("labels")) and labels != known.get("labels"):
        before = known.get("labels") or {}
        fresh = {key: value for key, value in labels.items() if before.get(key) != value}
        yield from validate_labels(fresh, f"{path}.labels")
    if (annotations := meta.get("annotations")) and annotations != known.get("annotations"):
        yield from validate_annotations(annotations, f"{path}.annotations")
    if (owners := meta.get("ownerReferences")) and owners != known.get("ownerReferences"):
        yield from _owners(owners, f"{path}.ownerReferences")
    if (finalizers := meta.get("finalizers")) and finalizers != known.get("finalizers"):
        yield from _finalizers(finalizers, f"{path}.finalizers", any_finalizer=any_finalizer)


def _names(meta: Mapping[str, Any], rule: NameRule, path: str) -> Iterable[Violation]:
    name, prefix = meta.get("name") or "", meta.get("generateName") or ""
    if prefix:
        for reason in for_prefix(rule)(prefix):
            yield invalid(f"{path}.generateName", prefix, reason)
    if not name:
        yield required(f"{path}.name", "name or generateName is required")
    else:
        for reason in rule(name):
            yield invalid(f"{path}.name", name, reason)


def validate_labels(labels: Mapping[str, str], path: str) -> Iterable[Violation]:
    """The refusals of labels: keys are qualified names, values label values."""
    for key, value in labels.items():
        for reason in qualified_name(key):
            yield invalid(path, key, reason)
        for reason in label_value(value):
            yield invalid(path, value, reason)


def validate_annotations(annotations: Mapping[str, str], path: str) -> Iterable[Violation]:
    """The refusals of annotations: keys are qualified names in any case; 256 KiB in all."""
    size = 0
    for key, value in annotations.items():
        for reason in qualified_name(key.lower()):
            yield invalid(path, key, reason)
        size += len(key) + len(value)
    if size > ANNOTATIONS_LIMIT // 4:  # only then can its bytes exceed the limit
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > ANNOTATIONS_LIMIT:
        yield too_long(path, ANNOTATIONS_LIMIT)


def _owners(owners: list[Obj], path: str) -> Iterable[Violation]:
    controller = ""
    for owner in owners:  # Kubernetes names the list, not the item
        group, _, version = owner.get("apiVersion", "").rpartition("/")
        if not version or "/" in group:
            yield invalid(f"{path}.apiVersion", owner.get("apiVersion", ""), "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield invalid(f"{path}.{field}", "", "must not be empty")
        if (group, version, owner.get("kind")) == ("", "v1", "Event"):
            yield invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner")
        if not owner.get("controller"):
            continue
        name = owner.get("name", "")
        if controller:
            told = "Only one reference can have Controller set to true. Found"
            yield invalid(path, owners, f'{told} "true" in references for {controller} and {name}')
        controller = name


def undomained(finalizers: Iterable[str]) -> list[str]:
    """The finalizers whose names have no domain, and are not Kubernetes' own."""
    return [one for one in finalizers if "/" not in one and one not in STANDARD_FINALIZERS]


def _finalizers(finalizers: list[str], path: str, *, any_finalizer: bool) -> Iterable[Violation]:
    for finalizer in finalizers:
        for reason in qualified_name(finalizer):
            yield invalid(path, finalizer, reason)
    for finalizer in () if any_finalizer else undomained(finalizers):
        told = "name is neither a standard finalizer name nor is it fully qualified"
        yield invalid(f"{path}[{finalizers.index(finalizer)}]", finalizer, told)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        told = "finalizer set orphan and foregroundDeletion cannot be both set"
        yield invalid(path, finalizers, told)


def validate_meta_update(
    obj: Mapping[str, Any], old: Mapping[str, Any], path: str = "metadata"
) -> Iterable[Violation]:
    """The refusals of a change of metadata: identity and history are fixed; no finalizer joins a deletion."""
    new, before = obj.get("metadata") or {}, old.get("metadata") or {}
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        if new.get(field) != before.get(field):
            yield invalid(f"{path}.{field}", new.get(field), IMMUTABLE)
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(field) != before.get(field) and before.get("deletionTimestamp"):
            yield invalid(f"{path}.{field}", new.get(field), IMMUTABLE)
    if (new.get("generation") or 0) < (before.get("generation") or 0):
        yield invalid(f"{path}.generation", new.get("generation") or 0, "must not be decremented")
    if not before.get("deletionTimestamp"):
        return
    if added := [one for one in new.get("finalizers") or () if one not in (before.get("finalizers") or ())]:
        shown = ", ".join(f'"{one}"' for one in sorted(added))
        told = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield forbidden(f"{path}.finalizers", f"{told} []string{{{shown}}}")


def unique(values: Iterable[Any], path: str, field: str = "") -> Iterable[Violation]:
    """A Duplicate violation for each value that came before: `path[index]`, or `path[index].field`."""
    seen: list[Any] = []
    for index, value in enumerate(values):
        if value in seen:
            yield duplicate(f"{path}[{index}]{'.' + field if field else ''}", value)
        seen.append(value)
