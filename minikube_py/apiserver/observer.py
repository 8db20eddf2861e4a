"""Observer: counts and times every request, and logs what was slow or failed here."""

import logging
import time

from aiohttp import web

from minikube_py.apiserver.call import Call
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.resolving import READS, Resolved
from minikube_py.errors import ApiError, ServiceUnavailable

log = logging.getLogger(__name__)

SLOW_SECONDS = 1.0
"""From this duration on a request is logged."""
FAULT_SECONDS = 30.0
"""For so long a failed write makes the server unready, unless another one succeeds."""


class Observer:
    """Sees every request end."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self.metrics = metrics
        self._write_fault, self._write_failed_at = "", 0.0

    def answered(self, call: Call, response: web.StreamResponse, seconds: float) -> None:
        """A request was answered."""
        resolved, code = call.resolved, response.status
        answers = resolved.tally.answers.get((code, call.dry_run))
        if answers is None:
            answers = self._answers(resolved, code, call.dry_run)
        answers[0] += 1
        if not resolved.is_long:
            self._took(resolved, response, seconds)
            if self._write_fault and code < 300 and call.info.verb not in READS:
                self._write_fault = ""
        if code >= 500 or (seconds >= SLOW_SECONDS and not resolved.is_long):
            log.warning(
                "request verb=%s path=%s user=%s code=%d seconds=%.3f",
                call.info.verb,
                call.info.path[:500],
                call.user.name,
                code,
                seconds,
            )

    def _answers(self, resolved: Resolved, code: int, dry_run: bool) -> list[float]:
        labels = (*resolved.labels, str(code), "All" if dry_run else "")
        made = resolved.tally.answers[(code, dry_run)] = self.metrics.requests.series(labels)
        return made

    def _took(self, resolved: Resolved, response: web.StreamResponse, seconds: float) -> None:
        metrics, tally = self.metrics, resolved.tally
        if tally.durations is None:
            tally.durations = metrics.durations.series(resolved.labels)
        metrics.durations.count(tally.durations, seconds)
        body = response.body if isinstance(response, web.Response) else None
        if isinstance(body, bytes):
            if tally.sizes is None:
                tally.sizes = metrics.sizes.series(resolved.labels)
            metrics.sizes.count(tally.sizes, len(body))

    def failed(self, call: Call, error: ApiError) -> None:
        """A request failed with `error`."""
        if isinstance(error, ServiceUnavailable) and not call.resolved.is_long:
            self._write_fault, self._write_failed_at = error.message, time.monotonic()

    def write_fault(self) -> str:
        """Why the last write found no store, while that is recent and no write has succeeded since."""
        recent = time.monotonic() - self._write_failed_at < FAULT_SECONDS
        return self._write_fault if recent else ""

    def long_running(self, resolved: Resolved) -> list[float]:
        """The number of watches and streams open of the request's sort."""
        return self.metrics.watchers.series(resolved.labels[:5])
