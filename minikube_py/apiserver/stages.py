"""The stages that every request passes before it is answered; `server.pipeline` gives their order."""

import asyncio
import logging
import time
from collections.abc import Awaitable

from aiohttp import web

from minikube_py.apiserver import responses, status
from minikube_py.apiserver.authz import attributes_of
from minikube_py.apiserver.call import Call, Handler, Stage
from minikube_py.apiserver.deadlines import too_late
from minikube_py.apiserver.flow_control import Seat
from minikube_py.apiserver.guards import Guards
from minikube_py.apiserver.health import is_health
from minikube_py.apiserver.impersonation import impersonated
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.request import RequestInfo, parse_query, parse_request
from minikube_py.apiserver.streams import is_upgrade
from minikube_py.errors import ApiError, ServiceUnavailable, TooManyRequests, Unauthorized
from minikube_py.registry.catalogue import Catalogue

log = logging.getLogger(__name__)

SLOW_SECONDS = 1.0
"""From this duration on a request is logged."""
FAULT_SECONDS = 30.0
"""For so long a failed write makes the server unready, unless another one succeeds."""
READS = frozenset(("get", "list"))
_LONG = frozenset(("exec", "attach", "portforward", "proxy", "log"))
_METRIC_VERBS = {"create": "POST", "update": "PUT"}


def is_long_running(info: RequestInfo) -> bool:
    """Whether a request may last: it is not counted in flight, and no duration is expected of it."""
    return info.is_resource and (info.verb == "watch" or info.subresource in _LONG)


def resolve(call: Call) -> None:
    """The URL becomes verb, kind and name."""
    target = call.request.raw_path
    if "?" in target:
        call.query = parse_query(target)
    call.info = parse_request(call.request.method, target, call.query)


class Stages:
    """The stages that need more than the call."""

    def __init__(self, guards: Guards, observer: "Observer") -> None:
        self._authenticator = guards.authenticator
        self._authorizer = guards.authorizer
        self._flow_control = guards.flow_control
        self._audit = guards.audit
        self._deadlines = guards.deadlines
        self._observer = observer
        metrics = observer.metrics
        self._rejected = metrics.rejected
        self._in_flight = {kind: metrics.in_flight.series((kind,)) for kind in ("readOnly", "mutating")}

    def authenticate(self, call: Call) -> None:
        """Who asks; without credentials only health and version are open."""
        try:
            user = self._authenticator.user_of(call.request, call.notes)
            if user is None and not _is_public(call.info):
                raise Unauthorized("Unauthorized")
        except Unauthorized:
            self._observer.metrics.authentications.add(("failure",))
            if self._audit is not None:
                self._audit.unauthenticated(call)
            raise
        if user is not None:
            call.user = user

    def audit(self, call: Call) -> None:
        """Tell the audit log that the request was received, where it is to know."""
        if self._audit is not None:
            self._audit.received(call)

    def impersonate(self, call: Call) -> None:
        """Act as another user where the headers say so."""
        request = call.request
        if any(name[:12].lower() == b"impersonate-" for name, _ in request.raw_headers):
            asker, call.user = call.user, impersonated(call.user, request.headers, self._authorizer)
            if call.user is not asker:
                call.asker = asker

    def limit_in_flight(self, call: Call) -> Awaitable[None] | None:
        """Give the request a seat among those being served, or have it wait for one."""
        control = self._flow_control
        place = control.place_of(call.user, call.info)
        added = call.request.added
        if place is not None and added is not None:
            added.update(place.headers)
        if is_long_running(call.info):
            call.counted = self._observer.long_running(call.info)
            call.counted[0] += 1
            return None
        self._deadlines.begin(call)
        kind = "readOnly" if call.info.verb in READS else "mutating"
        call.counted = self._in_flight[kind]
        call.counted[0] += 1
        if place is None:
            return None
        try:
            seat = control.enter(place)
        except TooManyRequests:
            self._rejected.add((kind,))
            raise
        if isinstance(seat, Seat):
            call.seat = seat
            return None
        return self._wait(call, kind, seat)

    async def _wait(self, call: Call, kind: str, seat: Awaitable[Seat]) -> None:
        try:
            call.seat = await seat
        except TooManyRequests:
            self._rejected.add((kind,))
            raise

    def authorize(self, call: Call) -> None:
        """Only what roles allow."""
        asked = attributes_of(call.info, call.query)
        if asked.subresource == "proxy" and asked.resource == "nodes" and is_upgrade(call.request):
            asked = asked._replace(verb="create")  # a kubelet runs things in pods by WebSockets, too
        if call.record is None:
            self._authorizer.require(call.user, asked)
            return
        decision = self._authorizer.decide(call.user, asked)
        call.notes["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        call.notes["authorization.k8s.io/reason"] = decision.reason
        if not decision.allowed:
            raise self._authorizer.refused(call.user, asked, decision.reason)

    def leave(self, call: Call) -> None:
        """The request is over: give back what it was given."""
        if call.counted is not None:
            call.counted[0] -= 1
        if call.seat is not None:
            self._flow_control.leave(call.seat)
        self._deadlines.end(call)


class Observer:
    """Counts and times every request, and logs what was slow or failed here."""

    def __init__(self, catalogue: Catalogue, metrics: ServerMetrics) -> None:
        self._catalogue = catalogue
        self.metrics = metrics
        self._write_fault, self._write_failed_at = "", 0.0

    def answered(self, call: Call, response: web.StreamResponse, seconds: float) -> None:
        """A request was answered."""
        labels = self._labels(call.info)
        code, metrics = response.status, self.metrics
        metrics.requests.add((*labels, str(code), "All" if call.dry_run else ""))
        is_long = is_long_running(call.info)
        if not is_long:
            metrics.durations.observe(labels, seconds)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                metrics.sizes.observe(labels, len(response.body))
            if code < 300 and self._write_fault and call.info.verb not in READS:
                self._write_fault = ""
        if code >= 500 or (seconds >= SLOW_SECONDS and not is_long):
            log.warning(
                "request verb=%s path=%s user=%s code=%d seconds=%.3f",
                call.info.verb,
                call.info.path[:500],
                call.user.name,
                code,
                seconds,
            )

    def failed(self, call: Call, error: ApiError) -> None:
        """A request failed with `error`."""
        if isinstance(error, ServiceUnavailable) and not is_long_running(call.info):
            self._write_fault, self._write_failed_at = error.message, time.monotonic()

    def write_fault(self) -> str:
        """Why the last write found no store, while that is recent and no write has succeeded since."""
        recent = time.monotonic() - self._write_failed_at < FAULT_SECONDS
        return self._write_fault if recent else ""

    def long_running(self, info: RequestInfo) -> list[float]:
        """The number of watches and streams open of the request's sort."""
        return self.metrics.watchers.series(self._labels(info)[:5])

    def _labels(self, info: RequestInfo) -> tuple[str, ...]:
        """The metric labels; those of what is not served are empty, so that clients cannot make up series."""
        verb = _METRIC_VERBS.get(info.verb) or info.verb.upper()
        kind = (
            self._catalogue.by_resource(info.group, info.version, info.resource) if info.is_resource else None
        )
        if kind is None:
            known = verb if verb in ("GET", "POST", "PUT", "PATCH", "DELETE", "LIST", "WATCH") else "OTHER"
            return known, "", "", "", "", ""
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        subresource = info.subresource if info.subresource in kind.subresources else ""
        return verb, info.group, info.version, info.resource, subresource, scope


def through(stages: tuple[Stage, ...], answer: Handler, made: Stages, observer: Observer) -> Handler:
    """One handler that passes a call through `stages` in their order, has it answered, and turns whatever goes
    wrong into a `Status`."""

    async def handle(call: Call) -> web.StreamResponse:
        began = time.perf_counter()
        wrong: BaseException | None = None
        try:
            for stage in stages:
                waiting = stage(call)
                if waiting is not None:
                    await waiting
            response = await answer(call)
        except ConnectionError as error:
            wrong = error
            raise  # the client is gone: there is nobody to tell
        except asyncio.CancelledError as error:
            wrong = error
            if not _was_ended(call):
                raise
            response = _failed(call, too_late(), observer)
        except Exception as error:
            wrong = error
            response = _failed(call, status.to_api_error(error), observer)
        finally:
            made.leave(call)
            if call.record is not None and wrong is not None:
                call.record.broke(call, wrong)
        observer.answered(call, response, time.perf_counter() - began)
        if call.record is not None:
            call.record.answered(call, response)
        return response

    return handle


def _was_ended(call: Call) -> bool:
    """Whether the cancellation is that of a deadline; it is then taken back."""
    task = asyncio.current_task()
    if not call.expired or task is None:
        return False
    task.uncancel()
    return True


def _failed(call: Call, error: ApiError, observer: Observer) -> web.StreamResponse:
    observer.failed(call, error)
    _abort_if_begun(call.request, error)
    return responses.failure(error)


def _abort_if_begun(request: web.BaseRequest, error: ApiError) -> None:
    """Half an answer must not look like a whole one."""
    if request.writer.output_size:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("failed after the answer had begun") from error


def _is_public(info: RequestInfo) -> bool:
    return not info.is_resource and (info.path.rstrip("/") == "/version" or is_health(info.path))
