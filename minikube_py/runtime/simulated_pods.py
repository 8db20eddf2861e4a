"""Simulated sandboxes and containers: they follow the script that their command is (see simulated.py)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minikube_py.runtime.base import (
    Container,
    ContainerConfig,
    Resources,
    RuntimeEvent,
    RuntimeFailed,
    RuntimeNotFound,
    Sandbox,
    SandboxConfig,
)

if TYPE_CHECKING:
    from minikube_py.runtime.simulated import SimulatedRuntime

KILLED = 137  # 128 + SIGKILL
TERMINATED = 143  # 128 + SIGTERM


@dataclass(frozen=True, slots=True)
class Script:
    """What a command does: end with `code` after `seconds` (None: never), or fail to start with `error`."""

    seconds: float | None = None
    code: int = 0
    error: str = ""
    output: str = ""
    stubborn: bool = False


def script(words: Sequence[str]) -> Script:
    """The script that `words` stand for; any other command runs until it is stopped."""
    match list(words):
        case ["exit", code]:
            return Script(0.0, int(code))
        case ["sleep", seconds]:
            return Script(float(seconds))
        case ["sleep", seconds, "exit", code]:
            return Script(float(seconds), int(code))
        case ["fail", *reason]:
            return Script(error=" ".join(reason))
        case ["echo", *output]:
            return Script(0.0, output=" ".join(output) + "\n")
        case ["stubborn"]:
            return Script(stubborn=True)
        case _:
            return Script()


@dataclass(slots=True)
class Pod:
    """A sandbox as it stands, and what it was asked to be."""

    sandbox: Sandbox
    config: SandboxConfig


@dataclass(slots=True)
class Running:
    """A container as it stands, and what it was asked to be."""

    container: Container
    config: ContainerConfig
    resources: Resources


class SimulatedSandboxes:
    """Sandboxes with addresses from 10.244.0.0/16, given out in order."""

    def __init__(self, runtime: "SimulatedRuntime") -> None:
        self._runtime = runtime

    async def run(self, config: SandboxConfig) -> str:
        runtime = self._runtime
        key = (config.name, config.namespace, config.uid, config.attempt)
        for pod in runtime.pods.values():
            known = pod.sandbox
            if key == (known.name, known.namespace, known.uid, known.attempt):
                raise RuntimeFailed(f"failed to reserve sandbox name: it is reserved for {known.id}")
        number = next(runtime.numbers)
        on_host = config.namespaces.host_network
        sandbox = Sandbox(
            id=runtime.new_id(),
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            attempt=config.attempt,
            state="ready",
            created_at=runtime.now(),
            ips=() if on_host else (f"10.244.{number // 250}.{number % 250 + 2}",),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            network_namespace_is_host=on_host,
        )
        runtime.pods[sandbox.id] = Pod(sandbox, config)
        runtime.publish(RuntimeEvent("started", sandbox.id))
        return sandbox.id

    async def stop(self, id: str) -> None:
        if (pod := self._runtime.pods.get(id)) is None:
            return
        for running in tuple(self._runtime.running.values()):
            if running.container.sandbox_id == id:
                self._runtime.end(running, KILLED)
        if pod.sandbox.state == "ready":
            pod.sandbox = replace(pod.sandbox, state="notready", ips=())
            self._runtime.publish(RuntimeEvent("exited", id, KILLED))

    async def remove(self, id: str) -> None:
        await self.stop(id)
        self._runtime.pods.pop(id, None)
        for running in tuple(self._runtime.running.values()):
            if running.container.sandbox_id == id:
                del self._runtime.running[running.container.id]

    async def list(self) -> Sequence[Sandbox]:
        return tuple(replace(pod.sandbox, ips=()) for pod in self._runtime.pods.values())

    async def status(self, id: str) -> Sandbox:
        return self._runtime.pod(id).sandbox


class SimulatedContainers:
    """Containers that follow their script."""

    def __init__(self, runtime: "SimulatedRuntime") -> None:
        self._runtime = runtime

    async def create(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        runtime = self._runtime
        pod = runtime.pod(sandbox_id)
        if pod.sandbox.state != "ready":
            raise RuntimeFailed(f"sandbox {sandbox_id} is not running")
        image = await runtime.images.status(config.image)
        if image is None:
            raise RuntimeNotFound(f'image "{config.image}": not found')
        for running in runtime.running.values():
            known = running.container
            if (known.sandbox_id, known.name, known.attempt) == (sandbox_id, config.name, config.attempt):
                raise RuntimeFailed(f"failed to reserve container name: it is reserved for {known.id}")
        log = f"{sandbox.log_directory}/{config.log_path}" if config.log_path else ""
        container = Container(
            id=runtime.new_id(),
            sandbox_id=sandbox_id,
            name=config.name,
            attempt=config.attempt,
            state="created",
            image=image.tags[0] if image.tags else image.id,
            image_id=image.id,
            created_at=runtime.now(),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            log_path=log,
            mounts=tuple(config.mounts),
            applied=config.resources,
        )
        runtime.running[container.id] = Running(container, config, config.resources)
        return container.id

    async def start(self, id: str) -> None:
        running = self._runtime.container(id)
        if running.container.state != "created":
            raise RuntimeFailed(f"container {id} is in state {running.container.state}")
        plan = script([*running.config.command, *running.config.args])
        now = self._runtime.now()
        if plan.error:
            running.container = replace(
                running.container,
                state="exited",
                finished_at=now,
                exit_code=128,
                reason="StartError",
                message=plan.error,
            )
            raise RuntimeFailed(plan.error)
        running.container = replace(running.container, state="running", started_at=now)
        self._runtime.publish(RuntimeEvent("started", id))
        if plan.seconds is not None:
            self._runtime.end_after(running, plan)

    async def stop(self, id: str, grace: float) -> None:
        runtime = self._runtime
        running = runtime.running.get(id)
        if running is None or running.container.state != "running":
            return
        stubborn = script([*running.config.command, *running.config.args]).stubborn
        if stubborn and grace > 0:
            await runtime.clock.sleep(grace)
        runtime.end(running, KILLED if stubborn or grace <= 0 else TERMINATED)

    async def remove(self, id: str) -> None:
        running = self._runtime.running.get(id)
        if running is not None:
            self._runtime.end(running, KILLED)
            self._runtime.running.pop(id, None)

    async def list(self) -> Sequence[Container]:
        return tuple(
            replace(
                running.container,
                started_at=0.0,
                finished_at=0.0,
                exit_code=0,
                reason="",
                message="",
                log_path="",
                mounts=(),
            )
            for running in self._runtime.running.values()
        )

    async def status(self, id: str) -> Container:
        return self._runtime.container(id).container
