"""PodTimes: measures one pod for the kubelet's metrics, from its first sight until nothing of it is left."""

from collections.abc import Mapping
from datetime import datetime

from minikube_py.aio.clock import Clock
from minikube_py.kubelet.metrics import KubeletMetrics, plugin_of
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.meta.objects import Obj, dig, parse_time, uid_of


def init_seconds(status: Mapping[str, Obj]) -> float:
    """The seconds for which a pod's init containers ran that have ended."""
    ends = (dig(entry, "state.terminated") or {} for entry in status.get("initContainerStatuses") or ())
    return sum(
        (parse_time(end["finishedAt"]) - parse_time(end["startedAt"])).total_seconds()
        for end in ends
        if end.get("startedAt") and end.get("finishedAt")
    )


class PodTimes:
    """Measures one pod. One that was here before this kubelet, or is deleted, tells nothing of starts."""

    def __init__(self, metrics: KubeletMetrics, clock: Clock, pod: Obj) -> None:
        self._metrics, self._clock = metrics, clock
        self._uid, self._seen = uid_of(pod), clock.monotonic()
        self._place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        self._probed: set[tuple[str, ...]] = set()
        self._waits = not dig(pod, "status.startTime")
        self._began: float | None = None
        self._syncs = 0

    def working(self) -> None:
        """The pod's worker runs."""
        self._metrics.worker_starts.observe((), self._clock.monotonic() - self._seen)

    def starting(self) -> None:
        """A series of starts begins."""
        self._began = self._clock.monotonic()

    def started(self) -> None:
        """It has ended, well or not."""
        if self._began is not None:
            kind, self._syncs = "update" if self._syncs else "create", self._syncs + 1
            self._metrics.worker_durations.observe((kind,), self._clock.monotonic() - self._began)
            self._began = None

    def stored(self, pod: Obj) -> None:
        """The API has this status of the pod."""
        if not self._waits or not has_started(pod):
            return
        self._waits = False
        metrics, now = self._metrics, self._clock.now()
        metrics.pod_start.observe((), self._clock.monotonic() - self._seen)
        whole = _since(pod["metadata"]["creationTimestamp"], now)
        metrics.pod_start_total.observe((), whole)
        less = metrics.pulls_of(self._uid) + init_seconds(pod["status"])
        metrics.pod_start_sli.observe((), max(0.0, whole - less))

    def probed(self, container: str, kind: str, seconds: float) -> None:
        """A probe of a container was answered."""
        labels = (container, *self._place, kind)
        self._probed.add(labels)
        self._metrics.probe_durations.observe(labels, seconds)

    def mounted(self, volume: Obj, made: Mounted | None, seconds: float) -> None:
        """A volume was made, or could not be."""
        if plugin := plugin_of(volume, made):
            status = "fail-unknown" if made is None else "success"
            labels = ("false", "volume_mount", status, f"kubernetes.io/{plugin}")
            self._metrics.storage.observe(labels, seconds)

    def ended(self) -> None:
        """Nothing of the pod is left."""
        self._metrics.pulls_of(self._uid)
        for labels in self._probed:
            self._metrics.probe_durations.remove(labels)


def _since(moment: str, now: datetime) -> float:
    return max(0.0, (now - parse_time(moment)).total_seconds())


def has_started(pod: Obj) -> bool:
    """Whether all containers of a pod are told as running, or have run."""
    entries = dig(pod, "status.containerStatuses") or ()
    return len(entries) == len(pod["spec"]["containers"]) and all(
        "running" in entry["state"] or "terminated" in entry["state"] for entry in entries
    )
