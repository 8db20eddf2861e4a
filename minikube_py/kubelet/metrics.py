"""KubeletMetrics: what a kubelet counts as it works, under the names, labels and help of Kubernetes' own.

Counting costs below a microsecond; all else of /metrics is read when the page is asked for.
"""

from collections.abc import Awaitable, Callable, Iterator

from minikube_py.aio.clock import Clock
from minikube_py.aio.metrics import Counter, Histogram, Metric
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.meta.objects import Obj

DEFAULT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LONG = (120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600)
STARTUP = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, *LONG)
PULLS = (1, 5, 10, 20, 30, 60, *LONG)
STORAGE = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
RUNTIME = tuple(0.005 * 2.5**step for step in range(14))
"""Seconds: the buckets of histograms."""
MB, GB = 1024 * 1024, 1024 * 1024 * 1024
IMAGE_SIZES = (
    (10 * MB, "0-10MB"),
    (100 * MB, "10MB-100MB"),
    (500 * MB, "100MB-500MB"),
    (GB, "500MB-1GB"),
    (5 * GB, "1GB-5GB"),
    (10 * GB, "5GB-10GB"),
    (20 * GB, "10GB-20GB"),
    (30 * GB, "20GB-30GB"),
    (40 * GB, "30GB-40GB"),
    (60 * GB, "40GB-60GB"),
    (100 * GB, "60GB-100GB"),
)
"""Bytes up to which an image is told of under a name."""
PLUGINS = {
    "configMap": "configmap",
    "csi": "csi",
    "downwardAPI": "downward-api",
    "emptyDir": "empty-dir",
    "hostPath": "host-path",
    "nfs": "nfs",
    "projected": "projected",
    "secret": "secret",
}
"""The field of a volume > its plugin, as volume plugins are called below kubernetes.io/."""

OPERATION, HANDLER = ("operation_type",), ("runtime_handler",)
REQUEST = ("long_running", "method", "path", "server_type")


def _counter(name: str, help: str, labels: tuple[str, ...] = (), type: str = "counter") -> Counter:
    made = Counter(name, f"[ALPHA] {help}", labels, type=type)
    if not labels:
        made.series()  # as in Kubernetes, one without labels is there from the start
    return made


def _spread(
    name: str, help: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = DEFAULT
) -> Histogram:
    made = Histogram(name, f"[ALPHA] {help}", labels, buckets)
    if not labels:
        made.series(())
    return made


class KubeletMetrics:
    """One kubelet's counters; each attribute is a family."""

    def __init__(self) -> None:
        self._runtime()
        self._starts()
        self._pods()
        self._requests()
        self._pulled: dict[str, list[tuple[float, float]]] = {}

    def _runtime(self) -> None:
        name, sandbox = "kubelet_runtime_operations", "kubelet_run_podsandbox"
        self.operations = _counter(
            f"{name}_total", "Cumulative number of runtime operations by operation type.", OPERATION
        )
        self.operation_errors = _counter(
            f"{name}_errors_total",
            "Cumulative number of runtime operation errors by operation type.",
            OPERATION,
        )
        self.operation_durations = _spread(
            f"{name}_duration_seconds",
            "Duration in seconds of runtime operations. Broken down by operation type.",
            OPERATION,
            RUNTIME,
        )
        self.sandbox_durations = _spread(
            f"{sandbox}_duration_seconds",
            "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
            HANDLER,
        )
        self.sandbox_errors = _counter(
            f"{sandbox}_errors_total",
            "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
            HANDLER,
        )
        self.relists = _spread(
            "kubelet_pleg_relist_duration_seconds", "Duration in seconds for relisting pods in PLEG."
        )
        self.relist_intervals = _spread(
            "kubelet_pleg_relist_interval_seconds", "Interval in seconds between relisting in PLEG."
        )
        self.relisted_at = _counter(
            "kubelet_pleg_last_seen_seconds",
            "Timestamp in seconds when PLEG was last seen active.",
            type="gauge",
        )

    def _starts(self) -> None:
        started, kind = "kubelet_started", ("container_type",)
        self.started_pods = _counter(f"{started}_pods_total", "Cumulative number of pods started")
        self.started_pods_errors = _counter(
            f"{started}_pods_errors_total", "Cumulative number of errors when starting pods"
        )
        self.started_containers = _counter(
            f"{started}_containers_total", "Cumulative number of containers started", kind
        )
        self.started_containers_errors = _counter(
            f"{started}_containers_errors_total",
            "Cumulative number of errors when starting containers",
            ("code", *kind),
        )
        self.pulls = _spread(
            "kubelet_image_pull_duration_seconds",
            "Duration in seconds to pull an image.",
            ("image_size_in_bytes",),
            PULLS,
        )
        observed = (
            "measured from pod creation timestamp to when all its containers are reported as started and "
        )
        self.pod_start = _spread(
            "kubelet_pod_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
            buckets=STARTUP,
        )
        self.pod_start_sli = _spread(
            "kubelet_pod_start_sli_duration_seconds",
            "Duration in seconds to start a pod, excluding time to pull images and run init containers, "
            f"{observed}observed via watch",
            buckets=STARTUP,
        )
        self.pod_start_total = _spread(
            "kubelet_pod_start_total_duration_seconds",
            "Duration in seconds to start a pod since creation, including time to pull images and run init "
            f"containers, {observed}observed via watch",
            buckets=STARTUP,
        )

    def _pods(self) -> None:
        self.worker_durations = _spread(
            "kubelet_pod_worker_duration_seconds",
            "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
            OPERATION,
        )
        self.worker_starts = _spread(
            "kubelet_pod_worker_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod to starting a worker.",
        )
        self.containers_per_pod = _spread(
            "kubelet_containers_per_pod_count", "The number of containers per pod.", buckets=(1, 2, 4, 8, 16)
        )
        self.rejections = _counter(
            "kubelet_admission_rejections_total",
            "Cumulative number pod admission rejections by the Kubelet.",
            ("reason",),
        )
        self.evictions = _counter(
            "kubelet_evictions", "Cumulative number of pod evictions by eviction signal", ("eviction_signal",)
        )
        self.collected_images = _counter(
            "kubelet_image_garbage_collected_total",
            "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
            ("reason",),
        )
        self.probe_durations = _spread(
            "prober_probe_duration_seconds",
            "Duration in seconds for a probe response.",
            ("container", "namespace", "pod", "probe_type"),
        )

    def _requests(self) -> None:
        self.storage = _spread(
            "storage_operation_duration_seconds",
            "Storage operation duration",
            ("migrated", "operation_name", "status", "volume_plugin"),
            STORAGE,
        )
        self.requests = _counter(
            "kubelet_http_requests_total",
            "Number of the http requests received since the server started",
            REQUEST,
        )
        self.request_durations = _spread(
            "kubelet_http_requests_duration_seconds", "Duration in seconds to serve http requests", REQUEST
        )
        self.requests_in_flight = _counter(
            "kubelet_http_inflight_requests", "Number of the inflight http requests", REQUEST, "gauge"
        )

        self.healthy = Counter(
            "kubernetes_healthcheck",
            "[STABLE] This metric records the result of a single healthcheck.",
            ("name", "type"),
            type="gauge",
        )
        self.health_checks = Counter(
            "kubernetes_healthchecks_total",
            "[STABLE] This metric records the results of all healthcheck.",
            ("name", "status", "type"),
        )

    def families(self) -> Iterator[Metric]:
        """The families of /metrics; those of probes and of checks have pages of their own."""
        others = (self.probe_durations, self.healthy, self.health_checks)
        for family in vars(self).values():
            if isinstance(family, Counter | Histogram) and family not in others:
                yield family

    def checked(self, name: str) -> None:
        """A check of /healthz was asked for, and was well."""
        self.healthy.series((name, "healthz"))[0] = 1.0
        self.health_checks.add((name, "success", "healthz"))

    async def timed_relist(self, relist: Callable[[], Awaitable[None]], clock: Clock) -> None:
        """Ask the runtime for all that it holds. Errors: those of `relist`."""
        begun, before = clock.now().timestamp(), self.relisted_at.value()
        if before:
            self.relist_intervals.observe((), begun - before)
        self.relisted_at.series()[0] = begun
        await relist()
        self.relists.observe((), clock.now().timestamp() - begun)

    def container_starts(self, pod: Obj, container: Obj) -> None:
        """A container is being started."""
        self.started_containers.add((container_type(pod, container["name"]),))

    def container_failed(self, pod: Obj, container: Obj, code: str) -> None:
        """A container could not be started; `code` is the reason in its status."""
        self.started_containers_errors.add((code, container_type(pod, container["name"])))

    def image_pulled(self, uid: str, begun: float, ended: float, size: int) -> None:
        """An image was pulled for a pod; moments in seconds of the clock, size in bytes."""
        self.pulls.observe((image_size(size),), ended - begun)
        self._pulled.setdefault(uid, []).append((begun, ended))

    def pulls_of(self, uid: str) -> float:
        """The seconds in which images were pulled for a pod, which are forgotten now."""
        return covered(self._pulled.pop(uid, []))


def container_type(pod: Obj, name: str) -> str:
    """The type of a container as the counters tell it."""
    for field, kind in (("initContainers", "init_container"), ("ephemeralContainers", "ephemeral_container")):
        if any(container["name"] == name for container in pod["spec"].get(field) or ()):
            return kind
    return "container"


def image_size(size: int) -> str:
    """The name under which an image of so many bytes is told of."""
    return next((name for most, name in IMAGE_SIZES if size <= most), "GT100GB") if size else "N/A"


def plugin_of(volume: Obj, made: Mounted | None) -> str:
    """The plugin of a volume; that of a claim's is known once it is made, and empty before."""
    known = next((name for field, name in PLUGINS.items() if field in volume), "")
    if known or made is None:
        return known
    kinds = [part for part in made.path.parts if part.startswith("kubernetes.io~")]
    return kinds[-1].partition("~")[2] if kinds else "host-path"


def covered(spans: list[tuple[float, float]]) -> float:
    """How long the spans last together, overlaps counted once."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
