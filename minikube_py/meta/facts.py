"""The facts of Kubernetes' API schema (v1.34), from package data: definitions decoded when they are asked for.

`facts.json.gz` is made by `hack/make_facts.py` from the package kubernetes-validate. It holds no descriptions;
where that package is installed (extra `explain`), `descriptions` reads them from it. About 0.3 MB stay in
memory once the first fact is asked for.
"""

import gzip
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from minikube_py.meta.objects import Obj

V2_PREFIX = "#/definitions/"
V3_PREFIX = "#/components/schemas/"


class Facts(NamedTuple):
    """The unpacked file: where each definition lies in `body`, and the definition of each kind."""

    version: str
    places: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, str]
    body: bytes


@cache
def facts() -> Facts:
    """The unpacked file; it is read once."""
    packed = files("minikube_py.meta").joinpath("facts.json.gz").read_bytes()
    head, _, body = gzip.decompress(packed).partition(b"\n")
    index = orjson.loads(head)
    return Facts(index["version"], index["definitions"], index["kinds"], body)


def definition(name: str) -> Obj:
    """The facts of one definition (`io.k8s.api.core.v1.Pod`) in the shape of OpenAPI v2; the caller's own.

    Formats that OpenAPI does not have mark what Kubernetes decodes in its own way: quantity, micro-time, raw.
    Errors: KeyError.
    """
    known = facts()
    start, length = known.places[name]
    return orjson.loads(known.body[start : start + length])


def names() -> list[str]:
    """The names of all definitions, sorted."""
    return sorted(facts().places)


def name_for(api_version: str, kind: str) -> str | None:
    """The definition's name for an apiVersion and kind, or None for one that Kubernetes does not have."""
    return facts().kinds.get(f"{api_version}/{kind}")


def descriptions() -> Mapping[str, Any]:
    """Definitions with descriptions as kubernetes-validate has them, by name; empty where it is missing.

    About 1.5 MB of JSON are decoded at each call: keep what is made of it, not this.
    """
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema" / f"{facts().version}-local"
    path = folder / "_definitions.json"
    return orjson.loads(path.read_bytes())["$defs"] if path.exists() else {}


def openapi_definitions(version: int = 2, *, explained: bool = True) -> Iterator[tuple[str, Obj]]:
    """Every definition as OpenAPI v2 or v3 has it (`$ref`s, x-kubernetes-*), sorted by name.

    With `explained`, descriptions are added where kubernetes-validate is installed.
    """
    texts = descriptions() if explained else {}
    for name in names():
        yield name, openapi_definition(name, version, texts.get(name))


def openapi_definition(name: str, version: int = 2, explained: Mapping[str, Any] | None = None) -> Obj:
    """One definition as OpenAPI v2 or v3 has it; `explained` is its entry in `descriptions()`."""
    return _shaped(definition(name), explained or {}, version)


def referenced(schema: Any) -> Iterator[str]:
    """The names of the definitions that a definition refers to, with repeats."""
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref.rpartition("/")[2]
        for child in schema.values():
            yield from referenced(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from referenced(child)


def _shaped(schema: Obj, explained: Mapping[str, Any], version: int) -> Obj:
    """`schema` in the shape of an OpenAPI version, with the texts of `explained`; takes `schema` over."""
    if explained.get("description"):
        schema["description"] = explained["description"]
    if "properties" in schema:
        texts = explained.get("properties") or {}
        schema["properties"] = {
            name: _shaped(one, texts.get(name) or {}, version) for name, one in schema["properties"].items()
        }
    for child in ("items", "additionalProperties"):
        if child in schema:
            schema[child] = _shaped(schema[child], explained.get(child) or {}, version)
    ref = schema.get("$ref")
    if ref and version == 3:
        schema["$ref"] = V3_PREFIX + ref.removeprefix(V2_PREFIX)
        if len(schema) > 1:  # OpenAPI v3 ignores what stands beside a $ref
            schema["allOf"] = [{"$ref": schema.pop("$ref")}]
    return _special(schema, version)


def _special(schema: Obj, version: int) -> Obj:
    form = schema.get("format")
    if form == "quantity":
        del schema["format"]
        if version == 3:
            del schema["type"]
            schema["oneOf"] = [{"type": "string"}, {"type": "number"}]
    elif form == "int-or-string" and version == 3:
        del schema["type"]
        schema["oneOf"] = [{"type": "integer"}, {"type": "string"}]
    elif form == "micro-time":
        schema["format"] = "date-time"
    elif form == "raw":
        del schema["format"]
    return schema
