"""The paths of OpenAPI documents: what may be done to each kind, at which URL, with which parameters.

Pure. `paths(kinds, version)` gives the `paths` object of OpenAPI 2 or 3; the schemas that it refers to are
named by `openapi_names`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minikube_py.apiserver.discovery import subresource
from minikube_py.apiserver.openapi_names import DELETE_OPTIONS, PATCH, STATUS, schema_name
from minikube_py.meta.facts import V2_PREFIX, V3_PREFIX
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

_MEDIA = ("application/json", "application/yaml")
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_CUSTOM_PATCHES = tuple(one for one in _PATCHES if "strategic" not in one)
_STREAMED = ("exec", "attach", "portforward", "proxy")

_DESCRIPTIONS = {
    "allowWatchBookmarks": ("boolean", "Whether the watch may send BOOKMARK events."),
    "continue": ("string", "Where to go on with a list, as the server said."),
    "dryRun": ("string", "All: do everything but store the result."),
    "fieldManager": ("string", "Who makes the change; required for an apply patch."),
    "fieldSelector": ("string", "Which objects, by their fields."),
    "fieldValidation": ("string", "What to do about unknown or duplicate fields: Ignore, Warn or Strict."),
    "force": ("boolean", "Whether an apply patch takes over fields of other managers."),
    "gracePeriodSeconds": ("integer", "How long the object may take to end."),
    "labelSelector": ("string", "Which objects, by their labels."),
    "limit": ("integer", "At most how many objects."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "How fresh the answer must be, or where a watch begins."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with the objects there are."),
    "timeoutSeconds": ("integer", "How long the list or watch may last."),
    "watch": ("boolean", "Whether to stream changes."),
    "pretty": ("string", "true: indent the answer."),
}
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


class Operation(NamedTuple):
    """One method at one path. Schemas are named; empty for none (a plain text or stream)."""

    method: str
    action: str
    gvk: tuple[str, str]  # apiVersion and kind
    query: tuple[str, ...]
    body: str
    answer: str
    id: str


def paths(kinds: Iterable[Kind], version: int) -> Obj:
    """The `paths` of an OpenAPI document of version 2 or 3."""
    render = _operation_v3 if version == 3 else _operation_v2
    found: Obj = {}
    for kind in kinds:
        for path, operations in _of_kind(kind):
            item = found.setdefault(path, {})
            for operation in operations:
                item[operation.method] = render(operation, kind)
            item["parameters"] = [
                _in_path(name, version) for name in ("name", "namespace") if f"{{{name}}}" in path
            ]
            item["parameters"].append(_in_query("pretty", version))
    return found


def _of_kind(kind: Kind) -> Iterator[tuple[str, list[Operation]]]:
    collection = kind.path("{namespace}")
    yield collection, _collection(kind)
    if kind.namespaced and "list" in kind.verbs:
        everywhere = _operation(
            kind, "get", "list", _LIST, answer=f"{kind.kind}List", suffix="ForAllNamespaces"
        )
        yield kind.path(), [everywhere]
    if operations := _item(kind):
        yield kind.path("{namespace}", "{name}"), operations
    for name in kind.subresources:
        yield kind.path("{namespace}", "{name}", name), _subresource(kind, name)


def _operation(
    kind: Kind,
    method: str,
    action: str,
    query: tuple[str, ...],
    *,
    body: str = "",
    answer: str = "",
    suffix: str = "",
) -> Operation:
    """An operation on objects of `kind`; `answer` and `body` are kinds of its API version, or whole names."""
    verb = {"post": "create", "get": "read", "put": "replace"}.get(action, action)
    scope = "Namespaced" if kind.namespaced and suffix != "ForAllNamespaces" else ""
    group = "".join(part.capitalize() for part in (kind.group.partition(".")[0] or "core", kind.version))
    return Operation(
        method,
        action,
        (kind.api_version, kind.kind),
        query,
        body if "." in body else body and schema_name(kind.api_version, body),
        answer if "." in answer else schema_name(kind.api_version, answer or kind.kind),
        f"{verb}{group}{scope}{kind.kind}{suffix}",
    )


def _collection(kind: Kind) -> list[Operation]:
    found = []
    if "list" in kind.verbs:
        found.append(_operation(kind, "get", "list", _LIST, answer=f"{kind.kind}List"))
    if "create" in kind.verbs:
        found.append(_operation(kind, "post", "post", _WRITE, body=kind.kind))
    if "deletecollection" in kind.verbs:
        query = (*_LIST[1:-1], *_DELETE)
        found.append(
            _operation(
                kind,
                "delete",
                "deletecollection",
                query,
                body=DELETE_OPTIONS,
                answer=STATUS,
                suffix="Collection",
            )
        )
    return found


def _item(kind: Kind) -> list[Operation]:
    found = []
    if "get" in kind.verbs:
        found.append(_operation(kind, "get", "get", ()))
    if "update" in kind.verbs:
        found.append(_operation(kind, "put", "put", _WRITE, body=kind.kind))
    if "patch" in kind.verbs:
        found.append(_operation(kind, "patch", "patch", (*_WRITE, "force"), body=PATCH))
    if "delete" in kind.verbs:
        found.append(_operation(kind, "delete", "delete", _DELETE, body=DELETE_OPTIONS, answer=STATUS))
    return found


_METHODS = {"create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}


def _subresource(kind: Kind, name: str) -> list[Operation]:
    sub = subresource(kind, name)
    schema = "" if name in (*_STREAMED, "log") else schema_name(sub.api_version, sub.kind)
    found = []
    for verb in sub.verbs:
        method = _METHODS[verb]
        action = "connect" if name in _STREAMED else method
        query = {"create": _WRITE, "update": _WRITE, "patch": (*_WRITE, "force")}.get(verb, ())
        body = "" if not schema or verb == "get" else PATCH if verb == "patch" else schema
        operation = _operation(kind, method, action, query, suffix=name.capitalize())
        if action == "connect":
            operation = operation._replace(query=(), id=f"{method}{operation.id}")
        found.append(operation._replace(gvk=(sub.api_version, sub.kind), body=body, answer=schema))
    return found


def _patches(kind: Kind) -> tuple[str, ...]:
    """The media types of patches; clients read there that a custom resource knows no strategic ones."""
    return _PATCHES if kind.schema is None else _CUSTOM_PATCHES


def _shared(operation: Operation, kind: Kind) -> Obj:
    group, _, version = operation.gvk[0].rpartition("/")
    return {
        "tags": [f"{kind.group.partition('.')[0] or 'core'}_{kind.version}"],
        "operationId": operation.id,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": operation.gvk[1]},
    }


def _operation_v3(operation: Operation, kind: Kind) -> Obj:
    answer: Obj = {"type": "string"}
    if operation.answer:
        answer = {"$ref": V3_PREFIX + operation.answer}
    content = {media: {"schema": answer} for media in _MEDIA}
    rendered = _shared(operation, kind) | {
        "parameters": [_in_query(name, 3) for name in operation.query],
        "responses": {"200": {"description": "OK", "content": content}},
    }
    if operation.body:
        schema = {"$ref": V3_PREFIX + operation.body}
        media = _patches(kind) if operation.method == "patch" else ("*/*",)
        required = {} if operation.method == "delete" else {"required": True}
        rendered["requestBody"] = {"content": {name: {"schema": schema} for name in media}} | required
    return rendered


def _operation_v2(operation: Operation, kind: Kind) -> Obj:
    parameters = [_in_query(name, 2) for name in operation.query]
    if operation.body:
        body: Obj = {"in": "body", "name": "body", "schema": {"$ref": V2_PREFIX + operation.body}}
        parameters.append(body if operation.method == "delete" else body | {"required": True})
    answer: Obj = {"type": "string"}
    if operation.answer:
        answer = {"$ref": V2_PREFIX + operation.answer}
    return _shared(operation, kind) | {
        "consumes": list(_patches(kind)) if operation.method == "patch" else ["*/*"],
        "produces": list(_MEDIA),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "schema": answer}},
    }


def _in_query(name: str, version: int) -> Obj:
    type, description = _DESCRIPTIONS[name]
    return {"in": "query", "name": name, "description": description} | _typed(type, version)


def _in_path(name: str, version: int) -> Obj:
    description = "The object's name." if name == "name" else "The object's namespace."
    return {"in": "path", "name": name, "description": description, "required": True} | _typed(
        "string", version
    )


def _typed(type: str, version: int) -> Obj:
    typed = {"type": type, "uniqueItems": True}
    return {"schema": typed} if version == 3 else typed
