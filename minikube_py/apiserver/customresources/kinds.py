"""From a CustomResourceDefinition to the Kinds that it serves, one for each version. Pure.

A version that is not the stored one has the stored one as its `storage`; between two versions only apiVersion
differs, unless a webhook converts (`remote_conversion`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minikube_py.apiserver.customresources.columns import columns_of
from minikube_py.apiserver.discovery import version_order
from minikube_py.meta.kind import Kind, ScalePaths, Violation
from minikube_py.meta.object_meta import undomained
from minikube_py.meta.objects import Obj, condition_is, dig
from minikube_py.meta.structural import Structural
from minikube_py.meta.violations import invalid

MAX_INT32 = 2**31 - 1


def kinds_of(definition: Obj) -> tuple[Kind, ...]:
    """The kinds that an established definition serves; none before it is established."""
    if not condition_is(definition, "Established"):
        return ()
    versions = definition["spec"]["versions"]
    stored = next(version for version in versions if version.get("storage"))
    storage = _kind(definition, stored, None)
    made = {stored["name"]: storage}
    made |= {one["name"]: _kind(definition, one, storage) for one in versions if one is not stored}
    return tuple(made[one["name"]] for one in versions if one.get("served"))


def storage_of(definition: Obj) -> Kind:
    """The kind of the stored version, served or not."""
    stored = next(version for version in definition["spec"]["versions"] if version.get("storage"))
    return _kind(definition, stored, None)


def _kind(definition: Obj, version: Obj, storage: Kind | None) -> Kind:
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    paths = _scale_paths(scale) if scale else ScalePaths()
    structural = Structural((version.get("schema") or {}).get("openAPIV3Schema") or {})
    validate = _validate(structural, paths if scale else None)
    has_status = "status" in subresources
    fields = [one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or ()]
    return Kind(
        names["kind"],
        f"{spec['group']}/{version['name']}",
        names["plural"],
        singular=names.get("singular") or "",
        listed_as=names.get("listKind") or "",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec.get("scope") == "Namespaced",
        subresources=(*(("status",) if has_status else ()), *(("scale",) if scale else ())),
        columns=columns_of(version.get("additionalPrinterColumns") or ()),
        fields={name: name for name in fields},
        default=structural.default,
        prepare=_new_without_status if has_status else _as_sent,
        validate=validate,
        validate_status=validate,
        warn=_warn,
        schema=structural.schema,
        unconditional_update=False,
        scale=paths,
        storage=storage,
        remote_conversion=dig(spec, "conversion.strategy") == "Webhook",
        deprecation=deprecation_of(spec, version),
        terminating=condition_is(definition, "Terminating"),
    )


def _warn(obj: Obj, old: Obj | None) -> Iterable[str]:
    """A warning of each new finalizer whose name others may have, too."""
    given = obj["metadata"].get("finalizers") or ()
    before = ((old or {}).get("metadata") or {}).get("finalizers") or ()
    for name in sorted(undomained(set(given) - set(before))):
        told = (
            "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with"
        )
        yield f'metadata.finalizers: "{name}": {told} other finalizer writers'


def _scale_paths(scale: Mapping[str, Any]) -> ScalePaths:
    paths = (
        scale.get(field) or "" for field in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    )
    return ScalePaths(*(path.removeprefix(".") for path in paths))


def _as_sent(obj: Obj, old: Obj | None) -> None:
    return None


def _new_without_status(obj: Obj, old: Obj | None) -> None:
    if old is None:
        obj.pop("status", None)


def _validate(
    structural: Structural, scale: ScalePaths | None
) -> Callable[[Obj, Obj | None], Iterable[Violation]]:
    def validate(obj: Obj, old: Obj | None) -> Iterable[Violation]:
        found = list(structural.validate_values(obj, old))
        if scale is not None:
            found += check_scale(obj, scale)
        found += structural.validate_rest(obj, old, found)
        return found

    return validate


def check_scale(obj: Obj, scale: ScalePaths) -> Iterable[Violation]:
    """The refusals of what the Scale subresource reads."""
    for path in (scale.spec, scale.status):
        value = dig(obj, path)
        if value is None:
            continue
        if type(value) is not int:
            yield invalid(f".{path}", 0, _accessor(path, value, "int64"))
        elif value < 0:
            yield invalid(f".{path}", value, "should be a non-negative integer")
        elif value > MAX_INT32:
            yield invalid(f".{path}", value, f"should be less than or equal to {MAX_INT32}")
    selector = dig(obj, scale.selector) if scale.selector else None
    if selector is not None and not isinstance(selector, str):
        yield invalid(f".{scale.selector}", "", _accessor(scale.selector, selector, "string"))


def _accessor(path: str, value: Any, wanted: str) -> str:
    names = {str: "string", bool: "bool", int: "int64", float: "float64", list: "[]interface {}"}
    given = names.get(value.__class__, "map[string]interface {}")
    return f".{path} accessor error: {value} is of the type {given}, expected {wanted}"


def deprecation_of(spec: Obj, version: Obj) -> str:
    """What users of a version are warned of; empty where it is not deprecated."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    newer = [
        one["name"]
        for one in spec["versions"]
        if one.get("served") and not one.get("deprecated") and version_order(one["name"]) < version_order(name)
    ]
    better = f"; use {group}/{min(newer, key=version_order)} {kind}" if newer else ""
    return f"{group}/{name} {kind} is deprecated{better}"
