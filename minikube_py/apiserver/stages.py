"""The stages that every request passes before it is answered; `server.pipeline` gives their order."""

import asyncio
import time
from collections.abc import Awaitable

from aiohttp import web

from minikube_py.apiserver import responses, status
from minikube_py.apiserver.authn import ANONYMOUS
from minikube_py.apiserver.authz import Decision
from minikube_py.apiserver.call import Call, Handler, Stage
from minikube_py.apiserver.deadlines import too_late
from minikube_py.apiserver.flow_control import Seat
from minikube_py.apiserver.guards import Guards
from minikube_py.apiserver.impersonation import impersonated
from minikube_py.apiserver.observer import Observer
from minikube_py.apiserver.resolving import READS, Resolver
from minikube_py.apiserver.strangers import Strangers
from minikube_py.apiserver.streams import is_upgrade
from minikube_py.errors import ApiError, TooManyRequests, Unauthorized


class Stages:
    """The stages that need more than the call."""

    def __init__(self, resolver: Resolver, guards: Guards, observer: Observer) -> None:
        self._resolver = resolver
        self._authenticator = guards.authenticator
        self._authorizer = guards.authorizer
        self._flow_control = guards.flow_control
        self._audit = guards.audit
        self._deadlines = guards.deadlines
        self._observer = observer
        metrics = observer.metrics
        self._rejected = metrics.rejected
        self._strangers = Strangers()
        self._in_flight = {kind: metrics.in_flight.series((kind,)) for kind in ("readOnly", "mutating")}

    def resolve(self, call: Call) -> None:
        """The URL becomes verb, kind and name."""
        call.resolved = resolved = self._resolver.resolve(call.request.method, call.request.raw_path)
        call.info, call.query = resolved.info, resolved.query

    def authenticate(self, call: Call) -> Awaitable[None] | None:
        """Who asks; without credentials that is nobody known."""
        try:
            user = self._authenticator.user_of(call.request, call.notes)
        except Unauthorized as error:
            self._observer.metrics.authentications.add(("failure",))
            if self._audit is not None:
                self._audit.unauthenticated(call)
            return self._refuse(call, error)
        call.user = ANONYMOUS if user is None else user
        return None

    def _refuse(self, call: Call, error: ApiError) -> Awaitable[None]:
        """Tell a stranger that it is refused: at once, or when its turn comes. Errors: `error`."""
        delay = self._strangers.delay(time.monotonic())
        if delay:
            return _refuse_later(call, error, delay)
        raise error

    def audit(self, call: Call) -> None:
        """Tell the audit log that the request was received, where it is to know."""
        if self._audit is not None:
            self._audit.received(call)

    def refuse_strangers(self, call: Call) -> Awaitable[None] | None:
        """Of nobody known, pass only what roles allow: it takes no seat before that."""
        if call.user is not ANONYMOUS or self._authorizer.allows(ANONYMOUS, call.resolved.asked):
            return None
        asked = call.resolved.asked
        if call.record is not None:
            _note(call, Decision(False))
        return self._refuse(call, self._authorizer.refused(ANONYMOUS, asked, ""))

    def impersonate(self, call: Call) -> None:
        """Act as another user where the headers say so."""
        request = call.request
        if request.heading.impersonates:
            asker, call.user = call.user, impersonated(call.user, request.headers, self._authorizer)
            if call.user is not asker:
                call.asker = asker

    def limit_in_flight(self, call: Call) -> Awaitable[None] | None:
        """Give the request a seat among those being served, or have it wait for one."""
        control = self._flow_control
        place = control.place_of(call.user, call.info)
        if place is not None:
            call.request.added = place.added
        if call.resolved.is_long:
            call.counted = self._observer.long_running(call.resolved)
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
        asked = call.resolved.asked
        if asked.subresource == "proxy" and asked.resource == "nodes" and is_upgrade(call.request):
            asked = asked._replace(verb="create")  # a kubelet runs things in pods by WebSockets, too
        if call.record is None:
            self._authorizer.require(call.user, asked)
            return
        decision = self._authorizer.decide(call.user, asked)
        _note(call, decision)
        if not decision.allowed:
            raise self._authorizer.refused(call.user, asked, decision.reason)

    def leave(self, call: Call) -> None:
        """The request is over: give back what it was given."""
        if call.counted is not None:
            call.counted[0] -= 1
        if call.seat is not None:
            self._flow_control.leave(call.seat)
        self._deadlines.end(call)


def through(stages: tuple[Stage, ...], answer: Handler, made: Stages, observer: Observer) -> Handler:
    """One handler that passes a call through `stages` in their order, has it answered, and turns whatever goes
    wrong into a `Status`."""

    async def handle(call: Call) -> web.StreamResponse:
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
        observer.answered(call, response, time.perf_counter() - call.began)
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


async def _refuse_later(call: Call, error: ApiError, delay: float) -> None:
    await asyncio.sleep(delay)
    call.began += delay  # that is no work of ours
    raise error


def _note(call: Call, decision: Decision) -> None:
    """Note in the audit event what roles say."""
    call.notes["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
    call.notes["authorization.k8s.io/reason"] = decision.reason
