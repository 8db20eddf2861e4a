"""The metrics of the API server, and the page that shows every component's."""

from collections.abc import Iterator

from minikube_py.aio.metrics import Counter, Histogram, Metric
from minikube_py.aio.process_metrics import process_metrics
from minikube_py.registry.base import ListOptions
from minikube_py.registry.resource import Registry

DURATIONS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)
"""Seconds: the buckets of apiserver_request_duration_seconds."""
SIZES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
"""Bytes: the buckets of apiserver_response_sizes."""


class StoredObjects:
    """How many objects of each resource are stored, counted when the page is rendered."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def lines(self) -> Iterator[str]:
        yield "# HELP apiserver_storage_objects Stored objects by resource."
        yield "# TYPE apiserver_storage_objects gauge"
        for kind in self._registry.catalogue.all():
            if kind.storage is None:
                found = self._registry.list(kind, "", ListOptions(limit=1))
                count = len(found.entries) + (found.remaining or 0)
                yield f'apiserver_storage_objects{{resource="{kind.resource}"}} {count}'


class ServerMetrics:
    """The API server's own metrics, named as Kubernetes names them."""

    def __init__(self) -> None:
        which = ("verb", "group", "version", "resource", "subresource", "scope")
        self.requests = Counter(
            "apiserver_request_total", "Requests by verb, resource and HTTP code.", (*which, "code", "dry_run")
        )
        self.durations = Histogram(
            "apiserver_request_duration_seconds", "Seconds until a response was complete.", which, DURATIONS
        )
        self.sizes = Histogram("apiserver_response_sizes", "Bytes of response bodies.", which, SIZES)
        self.in_flight = Counter(
            "apiserver_current_inflight_requests",
            "Requests that are being served, by kind of request.",
            ("request_kind",),
            type="gauge",
        )
        self.rejected = Counter(
            "apiserver_rejected_requests_total",
            "Requests refused because too many were in flight.",
            ("request_kind",),
        )
        self.watchers = Counter(
            "apiserver_longrunning_requests", "Watches and streams that are open.", (*which[:5],), type="gauge"
        )
        self.watch_events = Counter(
            "apiserver_watch_events_total", "Events sent to watchers.", ("group", "version", "resource")
        )
        self.authentications = Counter(
            "authentication_attempts", "Authentications by their result.", ("result",)
        )
        self.decisions = Counter(
            "apiserver_authorization_decisions_total", "Authorization decisions.", ("type", "decision")
        )
        self._more: list[Metric] = list(process_metrics())

    def register(self, metric: Metric) -> None:
        """Show `metric` on the page as well."""
        self._more.append(metric)

    def render(self) -> bytes:
        """The page at /metrics (text format 0.0.4)."""
        families: list[Metric] = [
            value for value in vars(self).values() if isinstance(value, Counter | Histogram)
        ]
        return (
            "\n".join(line for metric in (*families, *self._more) for line in metric.lines()) + "\n"
        ).encode()
