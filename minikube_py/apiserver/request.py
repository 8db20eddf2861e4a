"""From a URL to what is asked: verb, API group, version, resource, subresource, namespace and name.

After Kubernetes' request attributes: `/api/v1/namespaces/{ns}/pods/{name}/{subresource}` and the same below
`/apis/{group}/{version}`; everything else is a non-resource path whose verb is the method in lower case.
A path is taken apart before it is decoded, so that an encoded slash never makes a new segment; `..`, NUL and
empty segments in a resource path are refused.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from minikube_py.errors import BadRequest, NotFound
from minikube_py.meta.selectors import parse_fields

LONGEST_SELECTOR = 4096
"""Characters of a field selector that is looked into before the request is allowed: what a longer one restricts
the request to gives it no more rights."""
Query = Mapping[str, Sequence[str]]
"""Query parameters with all their values."""

NO_QUERY: Query = {}
_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_PARTS = frozenset(("status", "finalize"))


class RequestInfo(NamedTuple):
    """What one request asks for. `rest` is the raw path behind a proxy subresource."""

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: str = ""


def parse_query(target: str) -> Query:
    """The query parameters of a request target. Errors: BadRequest."""
    _, mark, query = target.partition("?")
    if not mark or not query:
        return NO_QUERY
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=1000, errors="strict")
    except ValueError as error:
        raise BadRequest(f"invalid URL query: {error}") from error


def parse_request(method: str, target: str, query: Query) -> RequestInfo:
    """What `method` on `target` (the raw path, with its query) asks for. Errors: BadRequest, NotFound."""
    raw = target.partition("?")[0]
    segments = raw.strip("/").split("/")
    segments[0] = _decoded(segments[0])
    if segments[0] == "api" and len(segments) > 2:
        return _resource(method, raw, ("", segments[1], segments[2:]), query)
    if segments[0] == "apis" and len(segments) > 3:
        return _resource(method, raw, (_decoded(segments[1]), segments[2], segments[3:]), query)
    return RequestInfo(method.lower(), _decoded(raw))


def _resource(method: str, raw: str, located: tuple[str, str, list[str]], query: Query) -> RequestInfo:
    group, version, parts = located
    verb = _VERBS.get(method, method.lower())
    if parts[0] == "watch" and len(parts) > 1:  # the old form /watch/...; the same as ?watch=true
        verb, parts = "watch", parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = _segment(parts[1], "namespace")
        if len(parts) > 2 and parts[2] not in _NAMESPACE_PARTS:
            parts = parts[2:]
    if "" in parts[:3]:
        raise NotFound("the server could not find the requested resource")
    resource = _decoded(parts[0])
    name = _segment(parts[1], "Name") if len(parts) > 1 else ""
    subresource = _decoded(parts[2]) if len(parts) > 2 else ""
    rest = ""
    if len(parts) > 3:
        rest = "/" + "/".join(parts[3:])
        if raw.endswith("/") and not rest.endswith("/"):
            rest += "/"
    if not name:
        verb, name = _collection(verb, query)
    return RequestInfo(verb, raw, True, group, _decoded(version), resource, subresource, namespace, name, rest)


def _collection(verb: str, query: Query) -> tuple[str, str]:
    """The verb on a collection, and the one name that a field selector restricts it to."""
    if verb == "delete":
        return "deletecollection", ""
    if verb not in ("get", "watch"):
        return verb, ""
    if verb == "get":
        verb = "watch" if flag(query, "watch") else "list"
    return verb, _selected_name(query)


def _selected_name(query: Query) -> str:
    """The name that the field selector pins, read as those read it who select by it."""
    for selector in query.get("fieldSelector", ())[:1]:
        if len(selector) > LONGEST_SELECTOR:
            return ""
        try:
            return parse_fields(selector).required("metadata.name") or ""
        except ValueError:
            return ""  # it is refused once the request is allowed
    return ""


def flag(query: Query, name: str) -> bool:
    """Whether a parameter is given and is not false: `?watch`, `?watch=1`, `?watch=true`."""
    values = query.get(name)
    return bool(values) and values[0].lower() not in ("false", "0") if values else False


def _decoded(segment: str) -> str:
    if "%" in segment:
        try:
            segment = unquote(segment, errors="strict")
        except UnicodeDecodeError as error:
            raise BadRequest("the URL path is not UTF-8") from error
    if not segment.isprintable():
        raise BadRequest("the URL path contains control characters")
    return segment


def _segment(raw: str, what: str) -> str:
    """A name out of the path, safe as a path segment of the store's keys."""
    text = _decoded(raw)
    if text in (".", ".."):
        raise BadRequest(f"{what} parameter invalid: {_quoted(text)}: may not be '{text}'")
    for forbidden in "/%":
        if forbidden in text:
            raise BadRequest(f"{what} parameter invalid: {_quoted(text)}: may not contain '{forbidden}'")
    return text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
