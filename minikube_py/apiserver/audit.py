"""Audit: tells who did what, when and with which outcome, as Events of audit.k8s.io/v1.

Every response carries its Audit-Id, whether or not anything is logged; a client may choose it. An event is
made on the loop (microseconds; bodies are passed on as the bytes they are) and written by `audit_log`
elsewhere. Headers are never logged, so no credential is.
Limits: of lists that are streamed and of compressed bodies only metadata is logged.
"""

import asyncio
import uuid
from datetime import datetime
from itertools import count
from typing import Any

import orjson
from aiohttp import web

from minikube_py.aio.clock import Clock
from minikube_py.apiserver.answer import Answer
from minikube_py.apiserver.audit_log import AuditLog
from minikube_py.apiserver.audit_policy import VERSION, Level, Policy, Verdict
from minikube_py.apiserver.call import Call
from minikube_py.errors import ApiError
from minikube_py.meta.objects import Obj, micro_timestamp
from minikube_py.registry.base import User

MAX_ID = 64  # characters of an Audit-ID that a client chooses
_AGENT = 1024


class AuditIds:
    """Makes the ids of requests: unique, in the form of a UUID, and cheap."""

    def __init__(self) -> None:
        self._prefix = str(uuid.uuid4())[:24]
        self._numbers = count(1)

    def of(self, chosen: str) -> str:
        """The id of a request: the one its client chose (empty: none), or a new one."""
        if chosen and chosen.isprintable():
            return chosen[:MAX_ID]
        return f"{self._prefix}{next(self._numbers):012x}"


class Audit:
    """Decides by `policy` what of each request is told to `log`."""

    def __init__(self, policy: Policy, log: AuditLog, clock: Clock) -> None:
        self.policy = policy
        self.log = log
        self.clock = clock

    def received(self, call: Call) -> None:
        """A request is known with its user: tell it, where the policy wants it."""
        verdict = self.policy.verdict(call.user, call.info)
        if verdict.level is Level.NONE:
            return
        call.record = record = Record(self, verdict, call)
        record.tell("RequestReceived", call)

    def unauthenticated(self, call: Call) -> None:
        """A request came with no or wrong credentials."""
        verdict = self.policy.verdict(User(""), call.info)
        if verdict.level is not Level.NONE:
            call.record = record = Record(self, verdict, call)
            record.failed_login = _attempted(call)


class Record:
    """What the audit log is told of one request."""

    def __init__(self, audit: Audit, verdict: Verdict, call: Call) -> None:
        self._audit = audit
        self._verdict = verdict
        self._received = audit.clock.now()
        self.failed_login = ""
        self._id = call.request.audit_id
        if call.info.is_resource:
            call.request.begun = lambda code: self._begun(call, code)

    def _begun(self, call: Call, code: int) -> None:
        long = call.info.verb == "watch" or call.info.subresource in ("exec", "attach", "portforward", "log")
        if long and code < 300:
            self.tell("ResponseStarted", call, {"metadata": {}, "code": code})

    def answered(self, call: Call, response: web.StreamResponse) -> None:
        """The request was answered."""
        status: Obj = {"metadata": {}, "code": response.status}
        body = _json_body(response)
        if response.status >= 400 and body is not None:
            said = orjson.loads(body)
            if isinstance(said, dict) and said.get("kind") == "Status":
                status = {k: v for k, v in said.items() if k not in ("kind", "apiVersion")} | status
        if self.failed_login:
            status["message"] = self.failed_login
            self.tell("ResponseStarted", call, status)
        self.tell("ResponseComplete", call, status, body)

    def broke(self, call: Call, error: BaseException) -> None:
        """The request ended with an error: tell of one that nobody foresaw, and of one that has no answer."""
        if isinstance(error, ConnectionError | asyncio.CancelledError):
            if not call.expired:
                self.tell("ResponseComplete", call, {"metadata": {}, "code": 499})
        elif not isinstance(error, ApiError):
            said = {"status": "Failure", "reason": "InternalError", "code": 500}
            message = f"APIServer panic'd: {type(error).__name__}"
            self.tell("Panic", call, {"metadata": {}, "message": message, **said})

    def tell(self, stage: str, call: Call, status: Obj | None = None, body: bytes | None = None) -> None:
        """Log the event of a stage, unless the policy omits it."""
        if stage in self._verdict.omitted:
            return
        event = self._event(stage, call, self._audit.clock.now())
        level = self._verdict.level
        if status is not None:
            event["responseStatus"] = status
            if call.notes:
                event["annotations"] = dict(sorted(call.notes.items()))
            if level >= Level.REQUEST and (sent := self._object(call.request.received)) is not None:
                event["requestObject"] = sent
            if level >= Level.REQUEST_RESPONSE and body and (made := self._object(body)) is not None:
                event["responseObject"] = made
        self._audit.log.write(orjson.dumps(event))

    def _event(self, stage: str, call: Call, now: datetime) -> Obj:
        request, user = call.request, call.asker or call.user
        event: Obj = {
            "kind": "Event",
            "apiVersion": VERSION,
            "level": self._verdict.level.shown,
            "auditID": self._id,
            "stage": stage,
            "requestURI": request.raw_path,
            "verb": call.info.verb,
            "user": {} if self.failed_login else shown_user(user),
        }
        if call.asker is not None:
            event["impersonatedUser"] = shown_user(call.user)
        event["sourceIPs"] = source_ips(request)
        if agent := request.headers.get("User-Agent"):
            event["userAgent"] = agent[:_AGENT]
        if call.info.is_resource:
            event["objectRef"] = _reference(call)
        event["requestReceivedTimestamp"] = micro_timestamp(self._received)
        event["stageTimestamp"] = micro_timestamp(now)
        return event

    def _object(self, data: bytes) -> object | None:
        """A JSON body as it stands in the event; None for none, or for one that is no JSON."""
        if not data:
            return None
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        if self._verdict.omit_managed_fields:
            _without_managed_fields(value)
        return value if isinstance(value, dict | list) else None


def _without_managed_fields(value: Any) -> None:
    objects = [value, *(value.get("items") or [])] if isinstance(value, dict) else []
    for obj in objects:
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)


def _json_body(response: web.StreamResponse) -> bytes | None:
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return None
    if isinstance(response, Answer) and response.is_plain:
        return response.body
    is_json = response.content_type == "application/json" and "Content-Encoding" not in response.headers
    return response.body if is_json else None


def _reference(call: Call) -> Obj:
    info = call.info
    fields = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name or (_name_sent(call) if info.verb == "create" else ""),
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {field: value for field, value in fields.items() if value}


def _name_sent(call: Call) -> str:
    try:
        metadata = orjson.loads(call.request.received or b"{}").get("metadata") or {}
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    return name if isinstance(name, str) else ""


def shown_user(user: User) -> Obj:
    """A user as a UserInfo."""
    shown: Obj = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown


def source_ips(request: web.BaseRequest) -> list[str]:
    """Where a request came from: what proxies say, then the address that it was received from."""
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    found = [*forwarded, request.headers.get("X-Real-Ip", "").strip(), request.remote or ""]
    return list(dict.fromkeys(ip for ip in found if ip))[:32]


def _attempted(call: Call) -> str:
    scheme, _, value = call.request.headers.get("Authorization", "").strip().partition(" ")
    tried = [scheme.lower()] if value and scheme.lower() in ("basic", "bearer") else []
    transport = call.request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is not None and tls.getpeercert(binary_form=True):
        tried.append("x509")
    return (
        f"Authentication failed, attempted: {', '.join(tried)}"
        if tried
        else ("Authentication failed, no credentials provided")
    )
