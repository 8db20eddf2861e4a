"""What is measured of webhooks, named as Kubernetes names it."""

from collections.abc import Iterator

from minikube_py.aio.metrics import Counter, Histogram

SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25)
_PREFIX = "apiserver_admission_webhook"


class WebhookMetrics:
    """The metric families of webhooks; itself one Metric, to be registered."""

    def __init__(self) -> None:
        self.durations = Histogram(
            f"{_PREFIX}_admission_duration_seconds",
            "Admission webhook latency, by webhook, operation and type.",
            ("name", "operation", "rejected", "type"),
            SECONDS,
        )
        self.requests = Counter(
            f"{_PREFIX}_request_total",
            "Admission webhook requests, by webhook, type, operation, code and whether it was rejected.",
            ("code", "name", "operation", "rejected", "type"),
        )
        self.rejections = Counter(
            f"{_PREFIX}_rejection_count",
            "Admission webhook rejections, by webhook, type, operation, kind of error and code.",
            ("error_type", "name", "operation", "rejection_code", "type"),
        )
        self.failed_open = Counter(
            f"{_PREFIX}_fail_open_count", "Admission webhooks that failed open.", ("name", "type")
        )

    def lines(self) -> Iterator[str]:
        """HELP, TYPE and samples of every family."""
        for family in (self.durations, self.requests, self.rejections, self.failed_open):
            yield from family.lines()
