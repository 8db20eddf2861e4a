"""Embedded resources: what `x-kubernetes-embedded-resource` demands of an object within an object."""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1035_label, path_segment_name
from minikube_py.meta.object_meta import validate_object_meta
from minikube_py.meta.structural.lists import Look, of_properties
from minikube_py.meta.structural.nodes import Schema
from minikube_py.meta.violations import invalid, required


def compile_embedded(schema: Schema) -> Look | None:
    """The refusals of embedded resources below a schema; None where it has none."""
    looks: list[Look] = [validate_embedded] if schema.get("x-kubernetes-embedded-resource") else []
    below = {
        name: one
        for name, child in (schema.get("properties") or {}).items()
        if (one := compile_embedded(child))
    }
    if below:
        looks.append(of_properties(below))
    for key in ("items", "additionalProperties"):
        child = schema.get(key)
        if isinstance(child, Mapping) and (one := compile_embedded(child)):
            looks.append(_of_elements(one))
    if not looks:
        return None
    return lambda value, path: (fault for look in looks for fault in look(value, path))


def _of_elements(below: Look) -> Look:
    def look(value: Any, path: str) -> Iterable[Violation]:
        pairs = (
            value.items() if value.__class__ is dict else enumerate(value) if value.__class__ is list else ()
        )
        for key, item in pairs:
            yield from below(item, f"{path}[{key}]")

    return look


def validate_embedded(value: Any, path: str) -> Iterable[Violation]:
    """The refusals of one embedded resource: its apiVersion, kind and metadata."""
    if value.__class__ is not dict:
        return
    place = f"{path}." if path else ""
    for name in ("apiVersion", "kind"):
        text = value.get(name)
        if name not in value:
            yield required(f"{place}{name}")
        elif text == "":
            yield invalid(f"{place}{name}", text, "must not be empty")
        elif text.__class__ is not str:
            yield invalid(f"{place}{name}", text, "must be a string")
        elif name == "apiVersion" and text.count("/") > 1:
            yield invalid(f"{place}{name}", text, f"unexpected GroupVersion string: {text}")
        elif name == "kind" and (faults := dns1035_label(text.lower())):
            told = f"may have mixed case, but should otherwise match: {','.join(faults)}"
            yield invalid(f"{place}{name}", text, told)
    meta = value.get("metadata")
    if meta.__class__ is dict:
        named = {**meta, "name": meta.get("name") or "fakename"}
        namespaced = bool(meta.get("namespace"))
        yield from validate_object_meta(
            {"metadata": named},
            namespaced=namespaced,
            name_rule=path_segment_name,
            path=f"{place}metadata",
            any_finalizer=True,
        )
