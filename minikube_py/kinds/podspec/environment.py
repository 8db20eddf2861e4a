"""Validation of the environment of containers."""

from collections.abc import Iterable

from minikube_py.kinds.podspec.fieldrefs import (
    ENVIRONMENT_FIELDS,
    validate_field_ref,
    validate_resource_ref,
)
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import config_map_key, dns1123_subdomain, environment_name
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import invalid, required

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_NO_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
_ONE_FIELD = "may not have more than one field specified at a time"


def validate_environment(container: Obj, path: str) -> Iterable[Violation]:
    """The refusals of `env` and `envFrom` of a container."""
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name and variable.get("valueFrom") is None and not environment_name(name):
            continue  # the common case costs no path
        place = f"{path}.env[{index}]"
        if not name:
            yield required(f"{place}.name")
        for reason in environment_name(name) if name else ():
            yield invalid(f"{place}.name", name, reason)
        if variable.get("valueFrom") is not None:
            yield from _value_from(variable, f"{place}.valueFrom")
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from _from_source(source, index, f"{path}.envFrom")


def _from_source(source: Obj, index: int, path: str) -> Iterable[Violation]:
    prefix = source.get("prefix") or ""
    for reason in environment_name(prefix) if prefix else ():
        yield invalid(f"{path}[{index}].prefix", prefix, reason)
    chosen = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
    for field in chosen:
        place, name = f"{path}[{index}].{field}.name", source[field].get("name") or ""
        if not name:
            yield required(place)
        for reason in dns1123_subdomain(name) if name else ():
            yield invalid(place, name, reason)
    if not chosen:
        yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(chosen) > 1:
        yield invalid(path, "", _ONE_FIELD)


def _value_from(variable: Obj, path: str) -> Iterable[Violation]:
    source = variable["valueFrom"]
    chosen = [name for name in _SOURCES if source.get(name) is not None]
    for name in chosen:
        reference, place = source[name], f"{path}.{name}"
        if name == "fieldRef":
            yield from validate_field_ref(reference, ENVIRONMENT_FIELDS, place)
        elif name == "resourceFieldRef":
            yield from validate_resource_ref(reference, place, of_volume=False)
        else:
            yield from _key_ref(reference, place)
    if not chosen:
        yield invalid(path, "", _NO_SOURCE)
    elif variable.get("value"):
        yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(chosen) > 1:
        yield invalid(path, "", _ONE_FIELD)


def _key_ref(reference: Obj, path: str) -> Iterable[Violation]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    for reason in dns1123_subdomain(name):
        yield invalid(f"{path}.name", name, reason)
    if not key:
        yield required(f"{path}.key")
    for reason in config_map_key(key) if key else ():
        yield invalid(f"{path}.key", key, reason)
