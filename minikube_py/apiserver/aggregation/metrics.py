"""What is measured of aggregation, named as kube-aggregator names it."""

from collections.abc import Iterator

from minikube_py.aio.metrics import Counter
from minikube_py.apiserver.aggregation.services import APIServices


class AggregatorMetrics:
    """The metric families of aggregation; itself one Metric, to be registered."""

    def __init__(self, services: APIServices) -> None:
        self._services = services
        self.failures = Counter(
            "aggregator_unavailable_apiservice_total",
            "Times that an APIService was found unavailable, by name and reason.",
            ("name", "reason"),
        )

    def lines(self) -> Iterator[str]:
        """HELP, TYPE and samples of every family."""
        now = Counter(
            "aggregator_unavailable_apiservice",
            "Whether an APIService is unavailable (1) or not (0), by name.",
            ("name",),
            type="gauge",
        )
        for name in sorted(self._services.objects):
            remote = self._services.remote(name)
            now.series((name,))[0] = float(remote is not None and not remote.available)
        yield from now.lines()
        yield from self.failures.lines()
