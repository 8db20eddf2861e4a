"""Probes: a task per probe of each running container, whose results wake the pod's worker.

The startup probe holds the other two back. Until the first period after the initial delay has passed, a
failed readiness or startup probe is tried again at growing intervals and does not count: a container that
listens 50 ms after its start need not wait a whole period to be seen ready.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.prober.handlers import Answer, Target, act
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import Container, Streams

FIELDS = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}
FIRST_RETRY = 0.1  # seconds, doubling
TICK = 1 / 16
"""Seconds: probes begin at multiples of it, so that those of many pods are asked in the same turn of the loop,
which costs half as much."""
EARLY = 0.005  # seconds by which a timer may be early, and the tick is meant all the same


@dataclass(slots=True)
class Verdict:
    """What the probes say of one running container. `failed` names the probe that gave it up."""

    started: bool
    ready: bool
    failed: str = ""
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told: `changed` wakes the worker, `tell(container spec, reason, message)` records a warning,
    `took(container, type of probe, seconds)` counts how long an answer took."""

    changed: Callable[[], None]
    tell: Callable[[Obj, str, str], None]
    took: Callable[[str, str, float], None] = lambda container, kind, seconds: None


class PodProbes:
    """The probes of one pod's containers; use `close` in the end."""

    def __init__(self, name: str, streams: Streams, clock: Clock, watcher: Watcher) -> None:
        self._streams, self._clock, self._watcher = streams, clock, watcher
        self._tasks = Tasks(f"kubelet/probes/{name}")
        self._verdicts: dict[str, Verdict] = {}
        self._ending = False
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """How often each probe had which result: by container, type and result."""

    def verdict(self, id: str) -> Verdict:
        """What is known of a container; one that is not probed is neither started nor ready."""
        return self._verdicts.get(id) or Verdict(False, False)

    def failed(self) -> dict[str, str]:
        """Container id > the probe that gave it up."""
        return {id: verdict.failed for id, verdict in self._verdicts.items() if verdict.failed}

    def started(self) -> frozenset[str]:
        """Ids of the containers that have started."""
        return frozenset(id for id, verdict in self._verdicts.items() if verdict.started)

    def sync(self, running: Mapping[str, tuple[Container, Obj]], ip: str, status: Obj) -> None:
        """Probe exactly the containers in `running` (id > container and spec). `status` is the pod's: what it
        says of a container that was adopted holds until its probes say otherwise."""
        for id in [id for id in self._verdicts if id not in running]:
            for task in self._verdicts.pop(id).tasks.values():
                task.cancel()
        for id, (container, spec) in running.items():
            if id not in self._verdicts:
                self._begin(container, spec, ip, status)

    def end(self) -> None:
        """The pod is being stopped: only readiness counts from now on."""
        self._ending = True
        for verdict in self._verdicts.values():
            for kind, task in verdict.tasks.items():
                if kind != "readiness":
                    task.cancel()

    def _begin(self, container: Container, spec: Obj, ip: str, status: Obj) -> None:
        known = _known(status, container.id)
        startup, readiness = spec.get("startupProbe"), spec.get("readinessProbe")
        verdict = Verdict(
            started=not startup or bool(known.get("started")),
            ready=not readiness or bool(known.get("ready")),
        )
        self._verdicts[container.id] = verdict
        target = Target(container.id, spec, ip, self._streams, self._clock)
        began = container.started_at or container.created_at
        if startup and not verdict.started:
            self._spawn(_Probe("startup", startup, target, began), verdict)
        else:
            self._watch(target, began, verdict)

    def _watch(self, target: Target, began: float, verdict: Verdict) -> None:
        """Start the probes that run once the container has started."""
        for kind in ("readiness",) if self._ending else ("readiness", "liveness"):
            if spec := target.spec.get(FIELDS[kind]):
                self._spawn(_Probe(kind, spec, target, began), verdict)

    def _spawn(self, probe: "_Probe", verdict: Verdict) -> None:
        name = f"{probe.target.spec['name']}/{probe.kind}"
        verdict.tasks[probe.kind] = self._tasks.spawn(self._run(probe, verdict), name)

    async def _run(self, probe: "_Probe", verdict: Verdict) -> None:
        clock = self._clock
        delay = probe.began + probe.initial_delay - clock.now().timestamp()
        if delay > 0:
            await clock.sleep(delay)
        settled = probe.kind == "liveness" or (probe.kind == "readiness" and verdict.ready)
        if not settled and await self._first_period(probe, verdict):
            return
        while not await self._once(probe, verdict):
            await self._next_tick(probe.period)

    async def _next_tick(self, period: float) -> None:
        """Wait for the last tick within `period` seconds: as Kubernetes' ticker, never longer for the time that
        an answer took."""
        latest = self._clock.monotonic() + period + EARLY
        await self._clock.sleep(period + EARLY - latest % TICK)

    async def _first_period(self, probe: "_Probe", verdict: Verdict) -> bool:
        """Try often until the first success; whether the probe has come to its end."""
        end, wait = self._clock.monotonic() + probe.period, FIRST_RETRY
        while self._clock.monotonic() + wait < end:
            answer = await self._timed(probe)
            if answer.ok:
                if self._take(probe, verdict, answer):
                    return True
                await self._next_tick(probe.period)
                return False
            await self._clock.sleep(wait)
            wait *= 2
        await self._clock.sleep(end - self._clock.monotonic())
        return False

    async def _once(self, probe: "_Probe", verdict: Verdict) -> bool:
        return self._take(probe, verdict, await self._timed(probe))

    async def _timed(self, probe: "_Probe") -> Answer:
        begun, name = self._clock.monotonic(), probe.target.spec["name"]
        answer = await probe.act()
        self._watcher.took(name, probe.kind.capitalize(), self._clock.monotonic() - begun)
        return answer

    def _take(self, probe: "_Probe", verdict: Verdict, answer: Answer) -> bool:
        """Count one answer; whether the probe has come to its end. A probe that could not be tried says
        nothing of the container, so it is told but not counted."""
        spec, what = probe.target.spec, f"{probe.kind.capitalize()} probe"
        result_name = ("successful" if answer.ok else "failed") if answer.known else "unknown"
        self.counts[(spec["name"], probe.kind.capitalize(), result_name)] += 1
        if not answer.known:
            state = "failure" if answer.broken else "unknown"
            why = f"{what} errored and resulted in {state} state: {answer.message}"
            self._watcher.tell(spec, "Unhealthy", why)
            return False
        if not answer.ok:
            self._watcher.tell(spec, "Unhealthy", f"{what} failed: {answer.message}")
        elif answer.doubtful:
            self._watcher.tell(spec, "ProbeWarning", f"{what} warning: {answer.message}")
        result = probe.count(answer.ok)
        if result is None:
            return False
        if probe.kind == "readiness":
            if verdict.ready != result:
                verdict.ready = result
                self._watcher.changed()
            return False
        if not result:
            verdict.failed = probe.kind
            self._watcher.changed()
            return True
        if probe.kind == "startup":
            verdict.started = True
            self._watch(probe.target, 0.0, verdict)
            self._watcher.changed()
            return True
        return False

    async def close(self) -> None:
        """Stop probing."""
        self._verdicts.clear()
        await self._tasks.cancel()


def _known(status: Obj, id: str) -> Obj:
    for name in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(name) or ():
            if entry.get("containerID", "").endswith(id):
                return entry
    return {}


class _Probe:
    """One probe's settings (defaults as the API documents them) and its run of equal answers."""

    def __init__(self, kind: str, spec: Obj, target: Target, began: float) -> None:
        self.kind, self.target, self.began = kind, target, began
        self._spec = spec
        self.initial_delay = float(spec.get("initialDelaySeconds") or 0)
        self.period = float(spec.get("periodSeconds") or 10)
        self._timeout = float(spec.get("timeoutSeconds") or 1)
        self._needed = {True: spec.get("successThreshold") or 1, False: spec.get("failureThreshold") or 3}
        self._last: bool | None = None
        self._run = 0

    async def act(self) -> Answer:
        """Probe once."""
        return await act(self._spec, self.target, self._timeout)

    def count(self, ok: bool) -> bool | None:
        """Take one answer; the result once enough equal ones came in a row, else None."""
        self._run = self._run + 1 if ok == self._last else 1
        self._last = ok
        return ok if self._run >= self._needed[ok] else None
