"""ApiError: every failure that a Kubernetes client may see, named by Kubernetes' status reason.

Each class carries its HTTP code and reason; `status()` renders the `Status` object of the API conventions.
Errors of libraries are chained to one of these at the door of the room that uses the library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One field's fault: a `StatusCause` (reason such as FieldValueInvalid, the message, the field path)."""

    reason: str
    message: str
    field: str = ""

    def to_json(self) -> dict[str, str]:
        """The cause as it stands in `Status.details.causes`."""
        rendered = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in rendered.items() if value or key == "message"}


class ApiError(Exception):
    """A failure with a Kubernetes status; `details` becomes `Status.details` (name, group, kind, ...)."""

    code: int = 500
    reason: str = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        causes: Sequence[Cause] = (),
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.causes = tuple(causes)
        self.retry_after = retry_after  # seconds; 0 for none

    def status(self) -> dict[str, Any]:
        """The `Status` object (v1) that clients receive as the body."""
        details = dict(self.details)
        if self.causes:
            details["causes"] = [cause.to_json() for cause in self.causes]
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            "code": self.code,
        }
        if details:
            status["details"] = details
        return status


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Expired(ApiError):
    """The asked resourceVersion or continue token is no longer in the store's history (HTTP 410)."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class Unclassified(ApiError):
    """A failure that has no reason: clients are told its text alone."""

    code, reason = 500, ""


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


def from_status(status: Mapping[str, Any]) -> ApiError:
    """The ApiError that a `Status` object stands for, as the HTTP client receives it."""
    reason, code = status.get("reason", ""), int(status.get("code", 500))
    known = [cls for cls in ApiError.__subclasses__() if reason and cls.reason == reason]
    known += [cls for cls in ApiError.__subclasses__() if cls.code == code]
    details = dict(status.get("details") or {})
    causes = [
        Cause(c.get("reason", ""), c.get("message", ""), c.get("field", "")) for c in details.pop("causes", ())
    ]
    retry_after = int(details.pop("retryAfterSeconds", 0))
    cls = known[0] if known else ApiError
    return cls(status.get("message", ""), details=details, causes=causes, retry_after=retry_after)
