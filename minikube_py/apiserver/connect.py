"""CONNECT as admission sees it: the options of exec, attach, portforward and proxy as objects, and back."""

from typing import Any

from minikube_py.apiserver.discovery import subresource
from minikube_py.apiserver.request import Query, RequestInfo, flag
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

_FLAGS = ("stdin", "stdout", "stderr", "tty")
_STREAMED = frozenset(("exec", "attach"))


def connect_options(kind: Kind, info: RequestInfo, query: Query) -> Obj:
    """The options object of a request, such as PodExecOptions."""
    sub = subresource(kind, info.subresource)
    options: Obj = {"kind": sub.kind, "apiVersion": sub.api_version}
    if info.subresource == "proxy":
        return options | ({"path": info.rest} if info.rest else {})
    if info.subresource == "portforward":
        ports = [int(port) for text in query.get("ports", ()) for port in text.split(",") if port.isdigit()]
        return options | ({"ports": ports} if ports else {})
    options |= {name: True for name in _FLAGS if flag(query, name)}
    if query.get("container"):
        options["container"] = query["container"][0]
    if info.subresource == "exec":
        options["command"] = list(query.get("command", ()))
    return options


def connect_query(options: Obj, query: Query) -> Query:
    """The query that options mean, which admission may have changed, in the place of the client's."""
    if options.get("kind") not in ("PodExecOptions", "PodAttachOptions"):
        return query
    changed: dict[str, Any] = {key: values for key, values in query.items() if key not in _FLAGS}
    changed |= {name: ["true"] for name in _FLAGS if options.get(name) is True}
    for name in ("container", "command"):
        value = options.get(name)
        changed.pop(name, None)
        if value:
            changed[name] = list(value) if isinstance(value, list) else [str(value)]
    return changed
