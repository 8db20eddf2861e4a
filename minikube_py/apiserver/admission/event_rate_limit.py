"""EventRateLimit: how fast Events may come in, in all and from each source. Off unless there are limits."""

from collections import OrderedDict
from collections.abc import Callable

from minikube_py.aio.clock import Clock
from minikube_py.apiserver.admission.base import WRITES, Plugin, Surroundings, object_of
from minikube_py.apiserver.config import EventLimit
from minikube_py.errors import TooManyRequests
from minikube_py.meta.objects import dig
from minikube_py.registry.base import Attributes


def _source_and_object(request: Attributes) -> str:
    event = object_of(request)
    paths = ("source.component", "source.host", "reportingComponent", "reportingInstance")
    involved = ("kind", "namespace", "name", "uid", "apiVersion")
    seen = event.get("involvedObject") or event.get("regarding") or {}
    return "".join(
        [*(str(dig(event, path) or "") for path in paths), *(str(seen.get(f) or "") for f in involved)]
    )


KEYS: dict[str, Callable[[Attributes], str]] = {
    "Server": lambda request: "",
    "Namespace": lambda request: request.namespace,
    "User": lambda request: request.context.user.name,
    "SourceAndObject": _source_and_object,
}


class Buckets:
    """A token bucket for each key of one limit; the least used keys are forgotten."""

    def __init__(self, limit: EventLimit, clock: Clock) -> None:
        self.limit = limit
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Whether the key has a token left, which is taken."""
        now = self._clock.monotonic()
        left, since = self._buckets.pop(key, (float(self.limit.burst), now))
        left = min(float(self.limit.burst), left + (now - since) * self.limit.qps)
        allowed = left >= 1.0
        self._buckets[key] = (left - 1.0 if allowed else left, now)
        while len(self._buckets) > self.limit.cache_size:
            self._buckets.popitem(last=False)
        return allowed


class EventRateLimit(Plugin):
    """Answers 429 to Events that come too fast."""

    name = "EventRateLimit"
    operations = WRITES
    resources = frozenset(("events", "events.events.k8s.io"))

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        limits = surroundings.config.event_rate_limits if surroundings.config is not None else ()
        self._buckets = [Buckets(limit, surroundings.clock) for limit in limits]

    @classmethod
    def enabled(cls, surroundings: Surroundings) -> bool:
        return surroundings.config is not None and bool(surroundings.config.event_rate_limits)

    async def validate(self, request: Attributes) -> None:
        if request.context.dry_run:
            return
        told = []
        for buckets in self._buckets:
            key = KEYS[buckets.limit.type](request)
            if not buckets.take(key):
                told.append(f"limit reached on type {buckets.limit.type} for key {key}")
        if told:
            raise TooManyRequests(told[0] if len(told) == 1 else f"[{', '.join(told)}]")
