"""Caller: asks one webhook, and turns what fails into the refusal that its failure policy says."""

import logging
import uuid
from typing import NamedTuple

from minikube_py.apiserver.admission.base import Surroundings, forbid
from minikube_py.apiserver.admission.expressions import variables
from minikube_py.apiserver.admission.matching import Matcher
from minikube_py.apiserver.admission.webhooks.conditions import judged
from minikube_py.apiserver.admission.webhooks.hooks import Hook
from minikube_py.apiserver.admission.webhooks.metrics import WebhookMetrics
from minikube_py.apiserver.admission.webhooks.review import (
    Denied,
    Shown,
    Unusable,
    Verdict,
    request_of,
    review,
    verdict,
)
from minikube_py.apiserver.admission.webhooks.versions import shown
from minikube_py.apiserver.webhook_client import WebhookClient, WebhookFailed
from minikube_py.errors import ApiError, BadRequest, Cause, InternalError
from minikube_py.registry.base import Attributes

log = logging.getLogger(__name__)

CALLING, INTERNAL, NO_ERROR = "calling_webhook_error", "apiserver_internal_error", "no_error"
_UNAVAILABLE = 503
UNKNOWN_VERSIONS = (
    "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
)


class Invocation(NamedTuple):
    """A webhook that is to be asked, and what it is shown."""

    hook: Hook
    shown: Shown
    place: int
    """Its place among all webhooks."""


class Caller:
    """Asks webhooks of one type (`admit` or `validating`)."""

    def __init__(self, surroundings: Surroundings, type: str) -> None:
        self._registry = surroundings.registry
        self._authorizer = surroundings.authorizer
        self._clock = surroundings.clock
        self._matcher = Matcher(surroundings.registry)
        self._type = type
        self._client = surroundings.webhooks or WebhookClient(surroundings.registry, surroundings.clock)
        self._metrics = surroundings.webhook_metrics or WebhookMetrics()

    async def chosen(self, hook: Hook, place: int, request: Attributes) -> Invocation | None:
        """The invocation of a hook that the request concerns, else None. Errors: NotFound, Forbidden."""
        match = self._matcher.match(hook.criteria, request)
        if match is None:
            return None
        seen = await shown(self._registry, request, match.kind)
        if hook.conditions and not self._holds(hook, request, seen):
            return None
        return Invocation(hook, seen, place)

    def _holds(self, hook: Hook, request: Attributes, seen: Shown) -> bool:
        """Whether its conditions hold; not where one fails and the webhook's failures are ignored.
        Errors: Forbidden where one fails and they are not."""
        holds, faults = judged(hook.conditions, variables(request, seen, self._authorizer))
        if faults and not hook.ignores_failure:
            raise forbid(request, faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
        return holds and not faults

    async def ask(self, invocation: Invocation, request: Attributes) -> Verdict | None:
        """The webhook's answer if it allows the request; None where it failed and that is ignored.
        Errors: Denied, InternalError, BadRequest (a dry run that it does not support)."""
        hook, began = invocation.hook, self._clock.monotonic()
        try:
            answer = await self._answer(invocation, request)
        except WebhookFailed as error:
            self._observe(invocation, request, began, error.code or _UNAVAILABLE, CALLING)
            self._failed(invocation, request, error.message)
            return None
        except ApiError:
            self._observe(invocation, request, began, 0, INTERNAL)
            raise
        for key, value in answer.audit.items():
            request.context.audit[f"{hook.name}/{key}"] = value
        request.context.warnings.extend(answer.warnings)
        if not answer.allowed:
            denied = Denied(hook.name, answer.result)
            self._observe(invocation, request, began, denied.code, NO_ERROR)
            raise denied
        self._observe(invocation, request, began, 200, "")
        return answer

    async def _answer(self, invocation: Invocation, request: Attributes) -> Verdict:
        hook = invocation.hook
        if request.context.dry_run and not hook.dry_run:
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        if not hook.version:
            raise WebhookFailed(UNKNOWN_VERSIONS)
        uid = str(uuid.uuid4())
        asked = review(hook.version, request_of(request, invocation.shown, uid))
        try:
            answer = await self._client.call(hook.client_config, asked, hook.timeout)
        except WebhookFailed as error:
            raise WebhookFailed(f"failed to call webhook: {error.message}", error.code) from error
        try:
            return verdict(answer, uid, hook.version, mutating=self._type == "admit")
        except Unusable as error:
            raise WebhookFailed(f"received invalid webhook response: {error}") from error

    def _failed(self, invocation: Invocation, request: Attributes, why: str) -> None:
        hook = invocation.hook
        message = f'failed calling webhook "{hook.name}": {why}'
        log.warning("failing %s: %s", "open" if hook.ignores_failure else "closed", message)
        if not hook.ignores_failure:
            raise internal(message)
        self._metrics.failed_open.add((hook.name, self._type))
        prefix = "mutation" if self._type == "admit" else "validating"
        key = f"failed-open.{prefix}.webhook.admission.k8s.io/round_0_index_{invocation.place}"
        request.context.audit[key] = hook.name

    def _observe(
        self, invocation: Invocation, request: Attributes, began: float, code: int, error: str
    ) -> None:
        """Count a call; `error` is empty where the request is allowed."""
        hook, metrics = invocation.hook, self._metrics
        rejects = bool(error) and not (error == CALLING and hook.ignores_failure)
        rejected = "true" if rejects else "false"
        name, operation, type = hook.name, request.operation, self._type
        metrics.durations.observe((name, operation, rejected, type), self._clock.monotonic() - began)
        metrics.requests.add((str(code), name, operation, rejected, type))
        if rejects:
            metrics.rejections.add((error, name, operation, str(code), type))


def internal(message: str) -> InternalError:
    """Kubernetes' internal error: its message also as its cause."""
    return InternalError(f"Internal error occurred: {message}", causes=(Cause("", message),))
