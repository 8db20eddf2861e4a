"""How pods end with their cluster, on a simulated runtime in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.kuberuntime.sandbox import GRACE
from minikube_py.kubelet.kuberuntime.shutdown import end_pods
from minikube_py.runtime.base import ContainerConfig, SandboxConfig
from minikube_py.runtime.simulated import SimulatedRuntime


@dataclass
class Machine:
    """A runtime with one container that takes its whole grace to end."""

    clock: VirtualClock
    runtime: SimulatedRuntime
    container: str


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    clock = VirtualClock()
    runtime = SimulatedRuntime(clock)
    image = runtime.images.add("app:1")
    sandbox = SandboxConfig("web", "default", "u1")
    id = await runtime.sandboxes.run(sandbox)
    config = ContainerConfig("main", image.id, command=("stubborn",), annotations={GRACE: "3"})
    container = await runtime.containers.create(id, config, sandbox)
    await runtime.containers.start(container)
    yield Machine(clock, runtime, container)
    await runtime.close()


async def ended_after(machine: Machine, seconds: float, hurry: asyncio.Event, deaf: set[str]) -> bool:
    """Whether all is gone once `seconds` have passed."""
    async with Tasks("test") as tasks:
        work = tasks.spawn(end_pods(machine.runtime, hurry, deaf), "end")
        await asyncio.wait((work,), timeout=0.05)
        await machine.clock.advance(seconds)
        await asyncio.wait((work,), timeout=0.05)
        return work.done() and not machine.runtime.pods


async def test_containers_have_their_grace(machine: Machine) -> None:
    """A container that wants its grace gets what its pod says, not the whole that a stop may take."""
    assert not await ended_after(machine, 2.5, asyncio.Event(), set())
    assert await ended_after(machine, 3.1, asyncio.Event(), set())


async def test_a_second_signal_hurries(machine: Machine) -> None:
    """Once hurried, nothing waits."""
    hurry = asyncio.Event()
    hurry.set()
    assert await ended_after(machine, 0.0, hurry, set())


async def test_the_deaf_are_not_waited_for(machine: Machine) -> None:
    """A container that cannot hear the signal has no grace."""
    assert await ended_after(machine, 0.0, asyncio.Event(), {machine.container})
