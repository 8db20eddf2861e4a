"""Request bodies: read within bounds, decoded from JSON, YAML or protobuf, of the kind that the URL says."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from minikube_py.aio.haste import spend
from minikube_py.apiserver import protobuf
from minikube_py.apiserver.incoming import Incoming
from minikube_py.errors import BadRequest, RequestEntityTooLarge, Timeout, UnsupportedMediaType
from minikube_py.meta import yaml
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.validation import Duplicates, duplicate_fields
from minikube_py.registry.base import Context

MAX_BODY = 3 * 1024 * 1024
"""Bytes of a request body, as Kubernetes limits it."""
BODY_TIMEOUT = 60.0
"""Seconds within which a body must have arrived."""
MAX_DEPTH = 250
"""Nested maps and lists of a body; the store's readers recurse no deeper."""
JSON_TYPES = frozenset(("application/json", "*/*", ""))
_YAML_COST = 3
"""What a byte of YAML costs, in the units of `haste`."""
YAML_TYPES = frozenset(("application/yaml", "application/x-yaml", "text/yaml"))
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
WRITE_TYPES = ("application/json", "application/yaml", protobuf.MEDIA_TYPE)


async def read(request: web.BaseRequest) -> bytes:
    """The whole body. Errors: RequestEntityTooLarge, Timeout, BadRequest."""
    if not request.body_exists:
        return b""
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        if request.content.is_eof():  # it came with the head, as most do
            data = request.content.read_nowait()
        else:
            data = await _arriving(request)
    except web.RequestPayloadError as error:
        raise BadRequest(f"the request body cannot be read: {error}") from error
    if len(data) > MAX_BODY:
        raise _too_large()
    if isinstance(request, Incoming):
        request.received = data
    return data


async def _arriving(request: web.BaseRequest) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while part := await request.content.readany():
                size += len(part)
                if size > MAX_BODY:
                    raise _too_large()
                parts.append(part)
    except TimeoutError as error:
        raise Timeout("the request body did not arrive in time") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"Request entity too large: limit is {MAX_BODY}")


def media_type(request: web.BaseRequest) -> str:
    """The Content-Type without its parameters, in lower case; empty where there is none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def unsupported(accepted: Sequence[str]) -> UnsupportedMediaType:
    """The refusal of a body's Content-Type."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return UnsupportedMediaType(message + ", ".join(accepted))


def decode(data: bytes, content_type: str, repeated: list[str] | None = None) -> Any:
    """The body's value. `repeated` takes what there is to say of keys that YAML has twice.
    Errors: UnsupportedMediaType, TakesLong; ValueError with what is wrong in the text."""
    spend(len(data) // 4)
    if content_type in YAML_TYPES:
        value = _yaml(data, [] if repeated is None else repeated)
    elif content_type == protobuf.MEDIA_TYPE:
        value = protobuf.decode(data)
    elif content_type in JSON_TYPES:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"json parse error: {_parse_error(error)}") from error
    else:
        raise unsupported(WRITE_TYPES)
    if content_type not in JSON_TYPES or data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    return value


def _yaml(data: bytes, repeated: list[str]) -> Any:
    """The value of YAML, which most clients send as JSON. Errors: ValueError, TakesLong."""
    if data[:1] == b"{":
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            value = None
        if value is not None and not duplicate_fields(data).texts:
            return value
    spend(len(data) * _YAML_COST)
    try:
        return yaml.load(data, repeated)
    except yaml.YamlError as error:
        raise ValueError(f"error converting YAML to JSON: yaml: {error}") from error


def _parse_error(error: orjson.JSONDecodeError) -> str:
    ended = "unexpected end of data" in error.msg or "zero-length" in error.msg
    return "unexpected end of JSON input" if ended else str(error)


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node
            below.extend(child for child in children if child.__class__ is dict or child.__class__ is list)
        if not below:
            return
        level = below
    raise ValueError(f"json parse error: exceeded max depth of {MAX_DEPTH}")


def decode_object(data: bytes, content_type: str, kind: Kind, context: Context) -> Obj:
    """The object of `kind` that a body holds, with apiVersion and kind filled in where they are missing.
    Duplicate fields are refused or warned of, as fieldValidation says.
    Errors: BadRequest, UnsupportedMediaType."""
    repeated: list[str] = []
    try:
        value = decode(data, content_type, repeated)
        if not isinstance(value, dict):
            raise ValueError("couldn't get version/kind; the body is not an object")
        for field in ("kind", "apiVersion"):
            if not isinstance(value.get(field, ""), str):
                raise ValueError(f"couldn't get version/kind; {field} is not a string")
    except ValueError as error:
        why = f"couldn't get version/kind; {error}" if str(error).startswith("json parse") else str(error)
        message = f"the object provided is unrecognized (must be of type {kind.kind}): {why}"
        raise BadRequest(f"{message} ({_summary(data)})") from error
    if context.field_validation != "Ignore":
        is_json = content_type in JSON_TYPES
        told = repetitions(repeated, context)
        context.duplicates = duplicate_fields(data, value) if is_json else Duplicates(told, by_name=True)
    check_type(value, kind)
    return value


def repetitions(repeated: list[str], context: Context) -> list[str]:
    """What the client is told of the keys that a YAML body has twice: one refusal, or a warning for each."""
    if context.field_validation != "Strict" or not repeated:
        return repeated
    return ["\n  ".join(["yaml: unmarshal errors:", *repeated])]


def decode_patch(data: bytes, type: str, context: Context) -> Any:
    """The decoded body of a patch of that media type; keys that it has twice are refused or warned of, as
    fieldValidation says. Errors: BadRequest."""
    repeated: list[str] = []
    what = f"error decoding {'YAML' if type == APPLY_PATCH else 'patch'}"
    try:
        body = _patch_value(data, type, repeated)
    except ValueError as error:
        raise BadRequest(f"{what}: {error}") from error
    wanted, go = (list, "jsonpatch.Patch") if type == JSON_PATCH else (dict, "map[string]interface {}")
    if not isinstance(body, wanted):
        given = {dict: "object", list: "array", str: "string", bool: "bool"}.get(body.__class__, "number")
        what += ": error unmarshaling JSON: while decoding JSON" if type == APPLY_PATCH else ""
        raise BadRequest(f"{what}: json: cannot unmarshal {given} into Go value of type {go}")
    if context.field_validation == "Ignore":
        return body
    if type == APPLY_PATCH:
        twice = repetitions(repeated, context)
        if twice and context.field_validation == "Strict":
            raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {twice[0]}")
        context.warnings.extend(twice)
    else:
        before = "json patch " if type == JSON_PATCH else ""
        texts = [before + text for text in duplicate_fields(data, body).texts]
        context.duplicates = Duplicates(texts, by_name=True)
    return body


def _patch_value(data: bytes, type: str, repeated: list[str]) -> Any:
    """What a patch's body holds. An applied configuration is YAML."""
    if type != APPLY_PATCH:
        return decode(data, "application/json")
    value = decode(data, "application/yaml", repeated)
    return {} if value is None else value


def check_type(obj: Obj, kind: Kind) -> None:
    """Refuse an object of another kind or version than the URL's; fill in what is missing."""
    given_kind, given_version = obj.get("kind") or kind.kind, obj.get("apiVersion") or kind.api_version
    if given_kind != kind.kind:
        version = given_version.rpartition("/")[2]
        raise BadRequest(
            f'{given_kind} in version "{version}" cannot be handled as a {kind.kind}: '
            f'no kind "{given_kind}" is accepted at this path for version "{given_version}"'
        )
    if given_version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({given_version}) does not match the expected API version "
            f"({kind.api_version})"
        )
    obj["kind"], obj["apiVersion"] = given_kind, given_version
    if not isinstance(obj.setdefault("metadata", {}), dict | None):
        raise BadRequest(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"json: cannot unmarshal {_json_type(obj['metadata'])} into Go struct field "
            f"{kind.kind}.metadata of type v1.ObjectMeta"
        )
    if obj["metadata"] is None:
        obj["metadata"] = {}


def _json_type(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _summary(data: bytes) -> str:
    """The beginning of a body as Kubernetes shows it: text where it looks like JSON, else hexadecimal."""
    if not data:
        return "<empty>"
    head = data[:30]
    shown = head.decode(errors="replace") if data[:1] == b"{" else head.hex()
    return f"{shown} ..." if len(data) > len(head) else shown
