"""The simulated runtime keeps virtual time, and does what a test makes it do."""

from datetime import UTC, datetime

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.runtime.base import ContainerConfig, Credentials, RuntimeEvent, RuntimeFailed, SandboxConfig
from minikube_py.runtime.simulated import SimulatedRuntime
from minikube_py.runtime.simulated_pods import Script, script

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exit", "3"], Script(0.0, 3)),
        (["sleep", "2.5"], Script(2.5)),
        (["sleep", "2", "exit", "1"], Script(2.0, 1)),
        (["fail", "no", "such", "file"], Script(error="no such file")),
        (["echo", "a", "b"], Script(0.0, output="a b\n")),
        (["stubborn"], Script(stubborn=True)),
        (["/bin/server"], Script()),
        ([], Script()),
    ],
)
def test_scripts(words: list[str], expected: Script) -> None:
    """Words say what a command does."""
    assert script(words) == expected


async def started(runtime: SimulatedRuntime, *words: str) -> str:
    """A started container that runs `words`."""
    runtime.images.add("web:1")
    sandbox = SandboxConfig(name="web", namespace="default", uid="1")
    sandbox_id = await runtime.sandboxes.run(sandbox)
    id = await runtime.containers.create(sandbox_id, ContainerConfig("main", "web:1", args=words), sandbox)
    await runtime.containers.start(id)
    return id


async def test_a_container_ends_by_the_clock() -> None:
    """`sleep 60 exit 2` ends after a minute of the clock, with its times told."""
    clock = VirtualClock(START)
    runtime = SimulatedRuntime(clock)
    id = await started(runtime, "sleep", "60", "exit", "2")
    await clock.advance(59)
    assert (await runtime.containers.status(id)).state == "running"
    await clock.advance(1)
    status = await runtime.containers.status(id)
    assert (status.exit_code, status.reason) == (2, "Error")
    assert status.finished_at - status.started_at == 60
    await runtime.close()


async def test_a_stubborn_container_takes_its_grace() -> None:
    """Stopping one that ignores the signal takes the grace of the clock."""
    clock = VirtualClock(START)
    runtime = SimulatedRuntime(clock)
    id = await started(runtime, "stubborn")
    async with Tasks("test") as tasks:
        stopping = tasks.spawn(runtime.containers.stop(id, 30), "stop")
        await clock.advance(29)
        assert not stopping.done()
        await clock.advance(1)
        assert stopping.done()
    assert (await runtime.containers.status(id)).exit_code == 137
    await runtime.close()


async def test_what_a_test_makes_happen_is_told() -> None:
    """exit, oom and kill_sandbox change the state and publish events."""
    runtime = SimulatedRuntime(VirtualClock(START))
    events = runtime.monitor.events()
    id = await started(runtime)
    sandbox_id = (await runtime.containers.status(id)).sandbox_id
    runtime.oom(id)
    runtime.kill_sandbox(sandbox_id)
    told = [await anext(events) for _ in range(5)]
    assert told == [
        RuntimeEvent("started", sandbox_id),
        RuntimeEvent("started", id),
        RuntimeEvent("oom", id),
        RuntimeEvent("exited", id, 137),
        RuntimeEvent("exited", sandbox_id, 137),
    ]
    assert (await runtime.containers.status(id)).reason == "OOMKilled"
    assert (await runtime.sandboxes.status(sandbox_id)).state == "notready"
    await events.aclose()  # type: ignore[attr-defined]
    await runtime.close()


async def test_a_start_that_fails_leaves_an_exited_container() -> None:
    """`fail WORDS` fails with the words, and the container is exited with 128 as under containerd."""
    runtime = SimulatedRuntime(VirtualClock(START))
    with pytest.raises(RuntimeFailed, match="no such file"):
        await started(runtime, "fail", "no", "such", "file")
    [container] = await runtime.containers.list()
    assert ((await runtime.containers.status(container.id)).exit_code, container.state) == (128, "exited")
    await runtime.close()


async def test_pulls_are_told_beforehand() -> None:
    """`pulls` says which image can be pulled; who pulled with what is kept."""
    runtime = SimulatedRuntime(VirtualClock(START))
    runtime.images.pulls["docker.io/library/web:1"] = ""
    credentials = Credentials("ada", "secret")
    image = await runtime.images.pull("web:1", credentials)
    assert image.tags == ("docker.io/library/web:1",)
    assert runtime.images.pulled == [("docker.io/library/web:1", credentials)]
    await runtime.close()
