"""The schemas of OpenAPI documents: their names, and those of custom resources."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from minikube_py.apiserver.openapi_custom import custom_schema, list_schema
from minikube_py.meta.facts import name_for, openapi_definition, referenced
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
DELETE_OPTIONS = f"{_META}.DeleteOptions"
STATUS = f"{_META}.Status"
PATCH = f"{_META}.Patch"


def schema_name(api_version: str, kind: str) -> str:
    """The name of a kind's schema: Kubernetes' own, or the custom resource's (`com.example.v1.Widget`)."""
    if known := name_for(api_version, kind):
        return known
    group, _, version = api_version.rpartition("/")
    return ".".join([*reversed(group.split(".")), version, kind])


def schemas(kinds: Iterable[Kind], roots: Iterable[str], version: int, texts: Mapping[str, Any]) -> Obj:
    """The schemas named `roots` and all that they refer to; `texts` are descriptions by name."""
    custom = {name: schema for kind in kinds for name, schema in custom_schemas(kind, version)}
    found: Obj = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        schema = custom.get(name)
        found[name] = built_in(name, version, texts) if schema is None else schema
        waiting += [reference for reference in referenced(found[name]) if reference not in found]
    return dict(sorted(found.items()))


def built_in(name: str, version: int, texts: Mapping[str, Any]) -> Obj:
    """The schema of that name which Kubernetes has itself; `texts` are descriptions by name."""
    try:
        return openapi_definition(name, version, texts.get(name))
    except KeyError:
        return {"type": "object"}


@lru_cache(maxsize=1024)
def custom_schemas(kind: Kind, version: int) -> tuple[tuple[str, Obj], ...]:
    """The names and schemas of a custom resource and of its list, made once; none of a built-in kind."""
    if kind.schema is None:
        return ()
    name = schema_name(kind.api_version, kind.kind)
    listed = schema_name(kind.api_version, kind.list_kind)
    return (name, custom_schema(kind, version)), (listed, list_schema(kind, name, version))
