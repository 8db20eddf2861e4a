"""Runtimes for the tests: simulated, and a private containerd where the machine has one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from minikube_py.aio.clock import SystemClock
from minikube_py.runtime.base import ContainerConfig, Runtime, SandboxConfig
from minikube_py.runtime.simulated import SimulatedRuntime
from minikube_py.testing.containerd import BUSYBOX, PrivateContainerd, private_containerd, unavailable

ENDLESS = "endless"
"""A command that runs until it is told to end, and ends with 143 then."""

STUBBORN = "stubborn"
"""A command that ignores the signal to end."""

SHELL = {
    ENDLESS: "trap 'exit 143' TERM; sleep 1000 & wait",
    STUBBORN: "trap '' TERM; while true; do sleep 1; done",
}


@dataclass
class Subject:
    """A runtime with an image, and how to say a command to it; configs share one pod."""

    runtime: Runtime
    image: str
    logs: Path
    shell: bool
    cgroup: str = ""
    attempts: dict[str, int] = field(default_factory=dict)

    def command(self, words: str) -> Sequence[str]:
        """`words` as the runtime runs them: by a real shell, or as a script of the simulation."""
        return ["/bin/sh", "-c", SHELL.get(words, words)] if self.shell else words.split()

    def sandbox(self, name: str = "web", **settings: object) -> SandboxConfig:
        """A pod's sandbox."""
        given = {"uid": f"uid-{name}", "hostname": name, "log_directory": str(self.logs / name)} | settings
        if self.cgroup:
            given.setdefault("cgroup_parent", f"{self.cgroup}/{name}")
        return SandboxConfig(name=name, namespace="default", **given)  # type: ignore[arg-type]

    def container(self, words: str = ENDLESS, **settings: object) -> ContainerConfig:
        """A container that runs `words`."""
        given = {"name": "main", "image": self.image, "command": self.command(words)} | settings
        return ContainerConfig(**given)  # type: ignore[arg-type]

    async def start(self, config: ContainerConfig, sandbox: SandboxConfig | None = None) -> str:
        """A started container in a sandbox of its own; its id."""
        sandbox = sandbox or self.sandbox()
        id = await self.runtime.containers.create(await self.runtime.sandboxes.run(sandbox), config, sandbox)
        await self.runtime.containers.start(id)
        return id


@pytest.fixture
async def private(tmp_path: Path) -> AsyncIterator[PrivateContainerd]:
    """A containerd of the test's own."""
    if why := unavailable():
        pytest.skip(why)
    async with private_containerd(tmp_path) as started:
        yield started


@pytest.fixture
async def real(private: PrivateContainerd, tmp_path: Path) -> Subject:
    """containerd as a Subject."""
    return Subject(private.runtime, BUSYBOX, tmp_path / "logs", True, private.cgroup)


@pytest.fixture(params=["simulated", pytest.param("containerd", marks=pytest.mark.containerd)])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each runtime in turn."""
    async with AsyncExitStack() as stack:
        if request.param == "simulated":
            simulated = SimulatedRuntime(SystemClock())
            stack.push_async_callback(simulated.close)
            simulated.images.add(BUSYBOX)
            yield Subject(simulated, BUSYBOX, tmp_path / "logs", False)
            return
        if why := unavailable():
            pytest.skip(why)
        started = await stack.enter_async_context(private_containerd(tmp_path))
        yield Subject(started.runtime, BUSYBOX, tmp_path / "logs", True, started.cgroup)
