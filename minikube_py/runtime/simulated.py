"""SimulatedRuntime: every Protocol of the runtime in memory, for machines without root and for virtual time.

A container runs until it is stopped, unless its command says otherwise: the words (command then args, or the
image's own) may be `exit N` (ends at once with code N), `sleep S` (ends with 0 after S seconds of the clock),
`sleep S exit N`, or `fail WORDS` (StartContainer fails with WORDS). `stubborn` ignores the stop signal, so that
stopping takes the whole grace and gives 137. What a test wants to happen by itself it makes happen with `exit`,
`kill_sandbox` and `oom`. `exec_sync` answers by the same words, `echo WORDS` besides. Images are those `add`ed,
loaded from archives, or, where `pulls` says so, pulled by name.
"""

import hashlib
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from minikube_py.aio.broadcast import Broadcast, Subscription
from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.runtime.base import (
    ContainerStats,
    ExecResult,
    Process,
    Resources,
    RuntimeEvent,
    RuntimeFailed,
    RuntimeInfo,
    RuntimeNotFound,
    RuntimeUnavailable,
)
from minikube_py.runtime.simulated_images import SimulatedImages
from minikube_py.runtime.simulated_pods import (
    KILLED,
    Pod,
    Running,
    Script,
    SimulatedContainers,
    SimulatedSandboxes,
    script,
)

EVENT_CAPACITY = 10_000


class SimulatedProcess:
    """A command that has ended already: what it printed is to be read once, input goes nowhere."""

    def __init__(self, result: ExecResult) -> None:
        self._output = {"stdout": result.stdout, "stderr": result.stderr}
        self._code = result.exit_code

    async def read(self, stream: str) -> bytes:
        return self._output.pop(stream, b"")

    async def write(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def resize(self, width: int, height: int) -> None: ...
    async def close(self) -> None: ...

    async def wait(self) -> int:
        return self._code


class SimulatedStreams:
    """Commands answer by their script; the URLs of attach and port-forward lead nowhere."""

    def __init__(self, runtime: "SimulatedRuntime") -> None:
        self._runtime = runtime

    async def exec_sync(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        self._running(id)
        plan = script(command)
        if plan.error:
            raise RuntimeFailed(f"failed to exec in container: {plan.error}")
        if plan.seconds is None or (timeout and plan.seconds > timeout):
            await self._runtime.clock.sleep(timeout)
            raise TimeoutError(f"failed to exec in container: timeout {timeout:g}s exceeded")
        if plan.seconds:
            await self._runtime.clock.sleep(plan.seconds)
        return ExecResult(plan.output.encode(), b"", plan.code)

    async def exec(
        self, id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> Process:
        self._running(id)
        return SimulatedProcess(await self.exec_sync(id, command, 0))

    async def attach(self, id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        self._running(id)
        return f"http://127.0.0.1:1/attach/{id[:8]}"

    async def connect(self, sandbox_id: str, port: int) -> socket.socket:
        self._runtime.pod(sandbox_id)
        raise ConnectionRefusedError(f"nothing listens on port {port} of a simulated pod")

    def _running(self, id: str) -> None:
        state = self._runtime.container(id).container.state
        if state != "running":
            raise RuntimeFailed(f"container is in {state} state")


class SimulatedMonitor:
    """Events as they happen; usage that says nothing but which containers run."""

    def __init__(self, runtime: "SimulatedRuntime") -> None:
        self._runtime = runtime

    async def info(self) -> RuntimeInfo:
        return RuntimeInfo("simulated", "1.0.0")

    def events(self) -> AsyncIterator[RuntimeEvent]:
        return _read(self._runtime.broadcast.subscribe(EVENT_CAPACITY))

    async def stats(self) -> Sequence[ContainerStats]:
        now = self._runtime.now()
        return tuple(
            ContainerStats(id, int((now - running.container.started_at) * 1e6), 1 << 20)
            for id, running in self._runtime.running.items()
            if running.container.state == "running"
        )

    async def reopen_log(self, id: str) -> None:
        self._runtime.container(id)

    async def update_resources(self, id: str, resources: Resources) -> None:
        running = self._runtime.container(id)
        running.resources, running.container = resources, replace(running.container, applied=resources)


async def _read(subscription: Subscription[RuntimeEvent]) -> AsyncIterator[RuntimeEvent]:
    try:
        while events := await subscription.next():
            for event in events:
                yield event
    finally:
        subscription.close()
    raise RuntimeUnavailable("the simulated runtime was closed")


class SimulatedRuntime:
    """One simulated runtime; close it in the end."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.numbers = itertools.count()
        self.pods: dict[str, Pod] = {}
        self.running: dict[str, Running] = {}
        self.broadcast: Broadcast[RuntimeEvent] = Broadcast()
        self._ids = itertools.count(1)
        self._tasks = Tasks("simulated-runtime")
        self.sandboxes = SimulatedSandboxes(self)
        self.containers = SimulatedContainers(self)
        self.images = SimulatedImages()
        self.streams = SimulatedStreams(self)
        self.monitor = SimulatedMonitor(self)

    async def close(self) -> None:
        """End the event streams and everything that waits."""
        self.broadcast.close()
        await self._tasks.cancel()

    def now(self) -> float:
        """The clock's time in seconds since the epoch."""
        return self.clock.now().timestamp()

    def new_id(self) -> str:
        """64 hexadecimal digits, never the same twice."""
        return hashlib.sha256(str(next(self._ids)).encode()).hexdigest()

    def publish(self, event: RuntimeEvent) -> None:
        """Tell every reader of events."""
        self.broadcast.publish(event)

    def pod(self, id: str) -> Pod:
        """The sandbox `id`. Errors: RuntimeNotFound."""
        if id not in self.pods:
            raise RuntimeNotFound(f'an error occurred when try to find sandbox "{id}": not found')
        return self.pods[id]

    def container(self, id: str) -> Running:
        """The container `id`. Errors: RuntimeNotFound."""
        if id not in self.running:
            raise RuntimeNotFound(f'an error occurred when try to find container "{id}": not found')
        return self.running[id]

    def end(self, running: Running, code: int, reason: str = "") -> None:
        """A running container ends with `code`."""
        if running.container.state != "running":
            return
        running.container = replace(
            running.container,
            state="exited",
            finished_at=self.now(),
            exit_code=code,
            reason=reason or ("Error" if code else "Completed"),
        )
        self.publish(RuntimeEvent("exited", running.container.id, code))

    def end_after(self, running: Running, plan: Script) -> None:
        """A running container ends as planned."""
        self._tasks.spawn(self._end_after(running, plan), f"end/{running.container.id[:8]}")

    async def _end_after(self, running: Running, plan: Script) -> None:
        await self.clock.sleep(plan.seconds or 0.0)
        self.end(running, plan.code)

    def exit(self, id: str, code: int) -> None:
        """The container's process ends by itself with `code`."""
        self.end(self.container(id), code)

    def oom(self, id: str) -> None:
        """The kernel kills the container for its memory."""
        self.publish(RuntimeEvent("oom", id))
        self.end(self.container(id), KILLED, "OOMKilled")

    def kill_sandbox(self, id: str) -> None:
        """The pause process dies: the sandbox is not ready, its containers run on."""
        pod = self.pod(id)
        pod.sandbox = replace(pod.sandbox, state="notready")
        self.publish(RuntimeEvent("exited", id, KILLED))
