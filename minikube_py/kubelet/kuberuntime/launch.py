"""Launch: the one starting task of a pod. It makes the sandbox where one is due, then the containers in order.

A start that fails as a whole (volumes, sandbox) is tried again after 1 s, 2 s, 4 s, at most 60 s; every 2 s
where the runtime is away, so that its return is noticed at once. What keeps a single container from starting is
noted in the pod's memory and holds back no other.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.backoff import Backoff
from minikube_py.kubelet.devicemanager.claiminfo import ClaimsUnprepared
from minikube_py.kubelet.kuberuntime.start import Starter, StartRefused
from minikube_py.kubelet.kuberuntime.stop import Stopper
from minikube_py.kubelet.memory import PodMemory
from minikube_py.kubelet.plan import Plan
from minikube_py.kubelet.pod_volumes import PodVolumes
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.volumes.base import VolumeFailed
from minikube_py.meta.objects import Obj, containers_of, key_of, uid_of
from minikube_py.runtime.base import Container, RuntimeFailed, RuntimeUnavailable, Sandbox

log = logging.getLogger(__name__)

SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created."
TOO_LATE = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
UNFORESEEN = "FailedSync"
AWAY = 2.0  # seconds between attempts while the runtime does not answer


@dataclass(frozen=True, slots=True)
class Follower:
    """Who is told: `running` of each container that has started (with the spec it was made from), `ended` when
    the series is over, well or not."""

    running: Callable[[Obj, Container], None]
    ended: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Means:
    """What starts are made with."""

    starter: Starter
    stopper: Stopper
    volumes: PodVolumes
    memory: PodMemory
    tasks: Tasks


class Launch:
    """Starts of one pod, one series at a time. `pod` gives the pod as it is to run."""

    def __init__(self, shared: Shared, means: Means, pod: Callable[[], Obj], follower: Follower) -> None:
        self._shared, self._means = shared, means
        self._pod, self._follower = pod, follower
        self._task: asyncio.Task[None] | None = None
        self._retry = Backoff(1.0, 60.0)
        self._away = Backoff(AWAY, AWAY)

    @property
    def busy(self) -> bool:
        return self._task is not None

    def retry_now(self) -> None:
        """What kept the pod from starting may have gone."""
        self._retry.forget("start")

    def begin(self, todo: Plan, now: float) -> float | None:
        """Begin the starts of a plan unless a series is under way; the moment to come back at where the last
        one has failed just now."""
        if self._task is not None:
            return None
        until = max(self._retry.until("start"), self._away.until("start"))
        if until > now:
            return until
        self._task = self._means.tasks.spawn(self._series(todo), "start")
        return None

    async def cancel(self) -> None:
        """End the series; what it has made is known to the view."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _series(self, todo: Plan) -> None:
        try:
            sandbox = await self._ready_sandbox(todo)
            if sandbox is not None:
                for start in todo.start:
                    await self._container(start.name, start.attempt, sandbox)
            self._retry.forget("start")
        except Exception as failure:
            self._failed(failure)
        finally:
            self._task = None
            self._follower.ended()
        pod = self._pod()
        try:
            await self._means.stopper.prune(uid_of(pod))
        except (RuntimeFailed, TimeoutError) as failure:
            log.warning("%s: cannot remove dead containers: %s", key_of(pod), failure)

    def _failed(self, failure: Exception) -> None:
        """Tell why a series has failed, and have the next one wait."""
        reason, message = event_of(failure)
        if reason == UNFORESEEN:
            log.error("%s: its start failed", key_of(self._pod()), exc_info=failure)
        self._shared.recorder.record(self._pod(), "Warning", reason, message)
        backoff = self._away if isinstance(failure, RuntimeUnavailable) else self._retry
        backoff.next("start", self._shared.epoch())

    async def _ready_sandbox(self, todo: Plan) -> Sandbox | None:
        pod, means = self._pod(), self._means
        for id in todo.stop_sandboxes:
            await means.stopper.sandbox(id)
        if todo.sandbox is not None:
            await self._shared.devices.claims.prepare(pod)
            if todo.sandbox > 0:
                self._shared.recorder.record(pod, "Normal", "SandboxChanged", SANDBOX_CHANGED)
            names = {start.name for start in todo.start}
            first = [c for c in containers_of(pod["spec"]) if c["name"] in names]
            return await means.starter.sandbox(pod, todo.sandbox, first)
        await means.volumes.prepare()
        return self._shared.view.of(uid_of(pod)).ready_sandbox()

    async def _container(self, name: str, attempt: int, sandbox: Sandbox) -> None:
        pod, memory = self._pod(), self._means.memory
        spec = next(c for c in containers_of(pod["spec"]) if c["name"] == name)
        memory.note_start(name, attempt)
        self._shared.metrics.container_starts(pod, spec)
        try:
            container = await self._means.stopper.clear_unstarted(uid_of(pod), name)
            if container is None:
                container = await self._means.starter.container(pod, spec, attempt, sandbox)
        except StartRefused as refusal:
            memory.note_refusal(name, refusal)
            self._shared.metrics.container_failed(pod, spec, refusal.reason)
            return
        memory.note_running(name)
        if container.state == "running":
            self._follower.running(spec, container)


def event_of(failure: Exception) -> tuple[str, str]:
    """Reason and message of the event that tells why a pod could not be started."""
    match failure:
        case VolumeFailed():
            return "FailedMount", str(failure)
        case ClaimsUnprepared():
            return "FailedPrepareDynamicResources", f"Failed to prepare dynamic resources: {failure}"
        case RuntimeUnavailable():
            return _no_sandbox(str(failure))
        case RuntimeFailed():
            return _no_sandbox(failure.decorated)
        case TimeoutError():
            return _no_sandbox(TOO_LATE)
        case OSError():
            return "FailedToMakePodDataDirectories", f"error making pod data directories: {failure}"
        case _:
            return UNFORESEEN, f"error determining status: {failure}"


def _no_sandbox(why: str) -> tuple[str, str]:
    return "FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}"
