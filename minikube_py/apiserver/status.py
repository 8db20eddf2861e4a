"""Exceptions become `Status` objects here and nowhere else; what was not foreseen is logged under an id."""

import logging
import uuid

import orjson

from minikube_py.errors import ApiError, Cause, Expired, InternalError
from minikube_py.meta.objects import Obj

log = logging.getLogger(__name__)


def to_api_error(error: Exception) -> ApiError:
    """`error` as the ApiError that the client is shown. An unforeseen one is logged with its traceback and an
    id; the client learns the id only."""
    if isinstance(error, ApiError):
        return error
    ident = uuid.uuid4().hex[:12]
    log.error("internal error %s: %r", ident, error, exc_info=error)
    return InternalError(
        f"Internal error occurred: an unexpected failure was logged under id {ident}",
        causes=(Cause("InternalError", f"logged under id {ident}"),),
    )


def body(error: ApiError) -> bytes:
    """The `Status` as the response's body."""
    return orjson.dumps(error.status(), option=orjson.OPT_NON_STR_KEYS)


def error_event(error: ApiError) -> bytes:
    """The ERROR event that ends a watch, as a line of its stream."""
    return b'{"type":"ERROR","object":' + body(error) + b"}\n"


def success(name: str, group: str, resource: str, uid: str) -> Obj:
    """The `Status` of a deletion that is complete."""
    details = {"name": name, "group": group, "kind": resource, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def is_expired(error: ApiError) -> bool:
    """Whether a watch must be answered by an ERROR event (HTTP 200) instead of an HTTP error."""
    return isinstance(error, Expired)
