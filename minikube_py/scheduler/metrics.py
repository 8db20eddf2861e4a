"""What the scheduler counts, under the names of kube-scheduler's metrics."""

from collections.abc import Callable, Iterator, Mapping

from minikube_py.aio.metrics import Counter, Histogram

SCHEDULED, UNSCHEDULABLE = "scheduled", "unschedulable"
_SECONDS = tuple(0.001 * 2**step for step in range(15))
_FEW = (1, 2, 4, 8, 16)
_QUEUES = {"active": "active", "backoff": "backoff", "parked": "unschedulable"}


class SchedulerMetrics:
    """Counters of one scheduler; `waiting` tells how many pods are in each state of its queue."""

    def __init__(self) -> None:
        which = ("profile", "result")
        self._attempts = Counter(
            "scheduler_schedule_attempts_total", "Attempts to schedule pods, by result.", which
        )
        self._durations = Histogram(
            "scheduler_scheduling_attempt_duration_seconds", "Seconds of an attempt.", which, _SECONDS
        )
        self._tries = Histogram(
            "scheduler_pod_scheduling_attempts", "Attempts until a pod was scheduled.", (), _FEW
        )
        self._preemptions = Counter(
            "scheduler_preemption_attempts_total", "Attempts to make pods give way for another."
        )
        self._victims = Histogram(
            "scheduler_preemption_victims", "Pods that gave way to one.", (), (*_FEW, 32, 64)
        )
        self._preemptions.series()
        self.refused = 0
        """Attempts that found no node."""
        self.preempted = 0
        """Pods that had to give way."""
        self.waiting: Callable[[], Mapping[str, int]] = dict

    def attempted(self, profile: str, result: str, seconds: float) -> None:
        """An attempt to schedule a pod is over."""
        self._attempts.add((profile, result))
        self._durations.observe((profile, result), seconds)
        self.refused += result == UNSCHEDULABLE

    def scheduled(self, attempts: int) -> None:
        """A pod has its node."""
        self._tries.observe((), attempts)

    def preempting(self, victims: int) -> None:
        """Pods were looked for that may give way; `victims` were found."""
        self._preemptions.add()
        if victims:
            self._victims.observe((), victims)

    def lines(self) -> Iterator[str]:
        """The metrics in the text format."""
        pending = Counter("scheduler_pending_pods", "Pods that wait, by queue.", ("queue",), type="gauge")
        counts = self.waiting()
        for state, queue in _QUEUES.items():
            pending.add((queue,), counts.get(state, 0))
        for metric in (self._attempts, self._durations, self._tries, self._preemptions, self._victims, pending):
            yield from metric.lines()
