"""Validation of the versions of a CustomResourceDefinition: schema, subresources, columns, selectable fields.

What all versions have in common is told at the top of the spec (`spec.validation`, `spec.subresources`, ...),
where the API server's internal form has it: so its messages are known where there is one version.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1035_label
from minikube_py.meta.objects import Obj
from minikube_py.meta.structural import check_schema
from minikube_py.meta.structural.fieldpath import field_path
from minikube_py.meta.structural.formats import unknown_formats
from minikube_py.meta.violations import duplicate, invalid, required, too_many

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_WARNING = 256
_MAX_SELECTABLE = 8
_SCALE = {
    "specReplicasPath": ((".spec.",), "should be a json path under .spec"),
    "statusReplicasPath": ((".status.",), "should be a json path under .status"),
    "labelSelectorPath": ((".spec.", ".status."), "should be a json path under either .spec or .status"),
}
_ONLY_SIMPLE = "must point to a field of type string, boolean or integer. Enum string fields and strings with "


def validate_versions(spec: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of all versions; schemas that `old`, the spec before, has too were judged then."""
    versions = spec.get("versions") or []
    before = {known.get("name"): known for known in old.get("versions") or ()}
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        if faults := dns1035_label(name):
            yield invalid(f"{path}.name", name, ",".join(faults))
        yield from _deprecation(version, f"{path}.deprecationWarning")
    names = [version.get("name") for version in versions]
    if len(set(names)) != len(names):
        yield invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")
    yield from _schemas(versions, before)
    for version, path in _placed(versions, "subresources"):
        if (scale := (version.get("subresources") or {}).get("scale")) is not None:
            yield from _scale(scale, f"{path}.scale")
    for version, path in _placed(versions, "additionalPrinterColumns"):
        for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column(column, f"{path}[{at}]")
    for version, path in _placed(versions, "selectableFields"):
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        yield from _selectable(version.get("selectableFields") or [], schema, path)


def _placed(versions: Sequence[Obj], field: str) -> list[tuple[Obj, str]]:
    """Versions to look at for one of their fields, each with its place; one for all where they agree."""
    if versions and all(version.get(field) == versions[0].get(field) for version in versions):
        return [(versions[0], f"spec.{field}")]
    return [(version, f"spec.versions[{at}].{field}") for at, version in enumerate(versions)]


def _has_status(version: Mapping[str, Any]) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _schemas(versions: Sequence[Obj], before: Mapping[str, Obj]) -> Iterable[Violation]:
    for version, place in _placed(versions, "schema"):
        shared = place == "spec.schema"
        path = f"{'spec.validation' if shared else place}.openAPIV3Schema"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            missing = range(len(versions)) if shared else (versions.index(version),)
            for at in missing:
                yield required(f"spec.versions[{at}].schema.openAPIV3Schema", "schemas are required")
            continue
        has_status = any(map(_has_status, versions)) if shared else _has_status(version)
        old = before.get(version.get("name") or "") or {}
        same = (old.get("schema") or {}).get("openAPIV3Schema") == schema
        if not same or has_status != _has_status(old):
            yield from check_schema(schema, path, has_status=has_status)


def warn(definition: Obj, old: Obj | None) -> Iterable[str]:
    """A warning of each format that the schemas have and nobody knows, but for those of `old`."""
    given, before = (_by_version(one) for one in (definition, old or {}))
    if given == before:
        return
    new, known = (
        {form for schema in found.values() for form in unknown_formats(schema)} for found in (given, before)
    )
    yield from (f'unrecognized format "{form}"' for form in sorted(new - known))


def _by_version(definition: Obj) -> dict[str, Obj]:
    versions = (definition.get("spec") or {}).get("versions") or ()
    return {one.get("name") or "": (one.get("schema") or {}).get("openAPIV3Schema") or {} for one in versions}


def _deprecation(version: Obj, path: str) -> Iterable[Violation]:
    told = version.get("deprecationWarning")
    if told is None:
        return
    if not version.get("deprecated"):
        yield invalid(path, told, "can only be set for deprecated versions")
        return
    if len(told.encode()) > _MAX_WARNING:
        yield invalid(path, told, "must be <= 256 characters long")
    if not told:
        yield invalid(path, told, "must not be an empty string")
    for at, character in enumerate(told):
        if not character.isprintable():
            index = len(told[:at].encode())
            told_ = (
                f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            )
            yield invalid(path, told, told_)
            return


def _scale(scale: Obj, path: str) -> Iterable[Violation]:
    for field, (below, told) in _SCALE.items():
        found = scale.get(field) or ""
        if not found:
            if field != "labelSelectorPath":
                yield required(f"{path}.{field}")
        elif not found.startswith("."):
            yield invalid(f"{path}.{field}", found, "must be a simple json path starting with .")
        elif not found.startswith(below):
            yield invalid(f"{path}.{field}", found, told)


def _column(column: Obj, path: str) -> Iterable[Violation]:
    type, format, at = (column.get(field) or "" for field in ("type", "format", "jsonPath"))
    if not column.get("name"):
        yield required(f"{path}.name")
    if not type:
        yield required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif type not in _COLUMN_TYPES:
        yield invalid(f"{path}.type", type, f"must be one of {','.join(_COLUMN_TYPES)}")
    if format and format not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", format, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not at:
        yield required(f"{path}.JSONPath")
    elif not at.startswith("."):
        yield invalid(f"{path}.JSONPath", at, "must be a simple json path starting with .")


def _selectable(fields: Sequence[Obj], schema: Obj, path: str) -> Iterable[Violation]:
    seen: set[str] = set()
    for index, one in enumerate(fields):
        at, place = one.get("jsonPath") or "", f"{path}[{index}].jsonPath"
        if not at:
            yield required(place)
            continue
        try:
            found = field_path(at, schema, brackets=False)
        except ValueError as error:
            yield invalid(place, at, f"is an invalid path: {error}")
            continue
        if found.steps[:1] == ("metadata",):
            yield invalid(place, at, "must not point to fields in metadata")
        if found.schema.get("type") not in ("string", "boolean", "integer"):
            yield invalid(place, at, f"{_ONLY_SIMPLE}formats are allowed.")
        if found.text in seen:
            yield duplicate(place, at)
        seen.add(found.text)
    if len(seen) > _MAX_SELECTABLE:
        yield too_many(path, len(seen), _MAX_SELECTABLE)
