"""AdmissionReview: what a webhook is asked, and what its answer means. All of it is pure.

Source: the API reference of admission.k8s.io/v1; v1beta1 differs by being checked less.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson

from minikube_py.errors import ApiError
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Attributes, User

V1, V1BETA1 = "admission.k8s.io/v1", "admission.k8s.io/v1beta1"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Unusable(Exception):
    """An answer that is not understood; its text says why."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a webhook is shown of a request: the objects in the version that its rules name, and the kinds of
    the objects (`Scale` for a scale subresource) in that version and as requested."""

    kind: Kind
    object_kind: tuple[str, str]
    requested: Kind
    requested_object_kind: tuple[str, str]
    object: Obj | None
    old: Obj | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A webhook's answer."""

    allowed: bool
    result: Obj = field(default_factory=dict)
    patch: tuple[Obj, ...] = ()
    warnings: tuple[str, ...] = ()
    audit: dict[str, str] = field(default_factory=dict)


class Denied(ApiError):
    """A webhook's refusal: the Status that it gave, with its own code and reason."""

    def __init__(self, webhook: str, result: Obj) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, **result}
        denied = f'admission webhook "{webhook}" denied the request'
        why = result.get("message") or result.get("reason")
        status["message"] = f"{denied}: {why}" if why else f"{denied} without explanation"
        code = result.get("code")
        status["code"] = code if isinstance(code, int) and 400 <= code < 600 else 400
        if status.get("status") in (None, "", "Success"):
            status["status"] = "Failure"
        retry = _mapping(result.get("details")).get("retryAfterSeconds")
        super().__init__(status["message"], retry_after=retry if isinstance(retry, int) else 0)
        self.code = status["code"]
        self.reason = str(result.get("reason") or "")
        self._status = status

    def status(self) -> dict[str, Any]:
        """The webhook's own Status."""
        return dict(self._status)


def request_of(request: Attributes, shown: Shown, uid: str) -> Obj:
    """The `request` of an AdmissionReview, also what matchConditions see as `request`."""
    asked: Obj = {
        "uid": uid,
        "kind": _kind(shown.object_kind),
        "resource": _resource(shown.kind),
        "requestKind": _kind(shown.requested_object_kind),
        "requestResource": _resource(shown.requested),
        "operation": request.operation,
        "userInfo": user_info(request.context.user),
        "object": shown.object,
        "oldObject": shown.old,
        "dryRun": request.context.dry_run,
        "options": options_of(request),
    }
    if request.subresource:
        asked["subResource"] = asked["requestSubResource"] = request.subresource
    if request.name:
        asked["name"] = request.name
    if request.namespace:
        asked["namespace"] = request.namespace
    elif request.kind.resource == "namespaces" and request.name:
        asked["namespace"] = request.name
    return asked


def review(version: str, asked: Obj) -> Obj:
    """The AdmissionReview that asks."""
    return {"kind": "AdmissionReview", "apiVersion": version, "request": asked}


def _kind(of: tuple[str, str]) -> Obj:
    group, _, version = of[0].rpartition("/")
    return {"group": group, "version": version, "kind": of[1]}


def _resource(kind: Kind) -> Obj:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def user_info(user: User) -> Obj:
    """A user as authentication.k8s.io shows one."""
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def options_of(request: Attributes) -> Obj | None:
    """The options of the operation, which are those of a PATCH too; None for CONNECT."""
    name = _OPTIONS.get(request.operation)
    if name is None:
        return None
    context = request.context
    options: Obj = {**request.options, "kind": name, "apiVersion": "meta.k8s.io/v1"}
    if context.dry_run:
        options["dryRun"] = ["All"]
    if request.operation != "DELETE":
        options |= context.given
    return options


def verdict(answer: Obj, uid: str, version: str, *, mutating: bool) -> Verdict:
    """What a webhook's answer means. Errors: Unusable."""
    response = answer.get("response")
    if not isinstance(response, dict):
        raise Unusable("webhook response was absent")
    patch = response.get("patch") or ""
    type = response.get("patchType")
    if version == V1:
        _check_identity(answer, response, uid)
        _check_patch_type(patch, type, mutating=mutating)
    elif patch and not type:
        type = "JSONPatch"
    return Verdict(
        allowed=response.get("allowed") is True,
        result=_mapping(response.get("status") or response.get("result")),
        patch=_operations(patch, type) if mutating else (),
        warnings=tuple(str(text) for text in response.get("warnings") or ()),
        audit={key: str(value) for key, value in _mapping(response.get("auditAnnotations")).items()},
    )


def _check_identity(answer: Obj, response: Obj, uid: str) -> None:
    if response.get("uid") != uid:
        raise Unusable(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    given = f"{answer.get('apiVersion') or '/'}, Kind={answer.get('kind') or ''}"
    if given != f"{V1}, Kind=AdmissionReview":
        raise Unusable(f"expected webhook response of {V1}, Kind=AdmissionReview, got {given}")


def _check_patch_type(patch: str, type: str | None, *, mutating: bool) -> None:
    if not mutating:
        if patch:
            raise Unusable("validating webhook may not return response.patch")
        if type is not None:
            raise Unusable("validating webhook may not return response.patchType")
        return
    if patch and type is None:
        raise Unusable("webhook returned response.patch but not response.patchType")
    if not patch and type is not None:
        raise Unusable("webhook returned response.patchType but not response.patch")


def _operations(patch: str, type: str | None) -> tuple[Obj, ...]:
    if not patch:
        return ()
    if type != "JSONPatch":
        raise Unusable(f'unsupported patch type "{type or ""}"')
    try:
        found = orjson.loads(base64.b64decode(patch, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise Unusable(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(found, list) or not all(isinstance(operation, dict) for operation in found):
        raise Unusable("received undecodable patch in webhook response: it is no list of operations")
    return tuple(found)


def _mapping(value: Any) -> Obj:
    return value if isinstance(value, dict) else {}
