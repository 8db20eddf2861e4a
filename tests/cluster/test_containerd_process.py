"""The containerd child outlives us, is adopted, watched, and ended when asked."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from minikube_py.aio.tasks import Tasks
from minikube_py.cluster import leftovers
from minikube_py.cluster.cni import plugin_folder
from minikube_py.cluster.containerd import ContainerdFailed, ContainerdProcess, ended, listener
from minikube_py.cluster.containerd_config import ContainerdConfig
from minikube_py.testing.containerd import unavailable

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "containerd is here"),
]


@pytest.fixture
async def config(tmp_path: Path) -> AsyncIterator[ContainerdConfig]:
    """A containerd's configuration; what still listens there afterwards is ended."""
    config = ContainerdConfig(
        folder=tmp_path / "c",
        socket=tmp_path / "c.sock",
        log=tmp_path / "containerd.log",
        cni_plugins=plugin_folder() or Path(),
        sandbox_image="minikube-py.local/pause:1",
    )
    yield config
    await ContainerdProcess(config).stop()
    leftovers.remove_all([config.folder, config.state], socket=config.socket)


async def test_it_starts_is_adopted_and_stops(config: ContainerdConfig) -> None:
    """A second start finds the first one's process; after stop nobody listens."""
    pid = await ContainerdProcess(config).start()
    assert listener(config.socket) == pid
    assert os.getsid(pid) == pid
    assert await ContainerdProcess(config).start() == pid
    await ContainerdProcess(config).stop()
    assert listener(config.socket) is None
    assert not Path(f"/proc/{pid}").exists()
    await ContainerdProcess(config).stop()


async def test_another_configuration_starts_it_anew(config: ContainerdConfig) -> None:
    """A changed configuration is no reason to keep the old process."""
    pid = await ContainerdProcess(config).start()
    changed = replace(config, sandbox_image="minikube-py.local/pause:2")
    assert await ContainerdProcess(changed).start() != pid
    assert '"minikube-py.local/pause:2"' in config.config_file.read_text()


async def test_as_a_service_it_ends_with_us(config: ContainerdConfig) -> None:
    """Cancelling the service ends containerd."""
    ready = asyncio.Event()
    async with Tasks("test") as tasks:
        task = tasks.spawn(ContainerdProcess(config).run(ready), "containerd")
        await ready.wait()
        assert listener(config.socket) is not None
        task.cancel()
    assert listener(config.socket) is None


async def test_it_can_be_left_running(config: ContainerdConfig) -> None:
    """With keep_running it survives the service."""
    ready = asyncio.Event()
    async with Tasks("test") as tasks:
        tasks.spawn(ContainerdProcess(config, keep_running=True).run(ready), "containerd")
        await ready.wait()
        pid = listener(config.socket)
    assert listener(config.socket) == pid


async def test_its_death_is_a_crash_of_the_service(config: ContainerdConfig) -> None:
    """A killed containerd ends the service with an error; run again, it starts a new one."""
    service = ContainerdProcess(config)
    ready = asyncio.Event()
    running = asyncio.ensure_future(service.run(ready))
    await ready.wait()
    pid = listener(config.socket)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ContainerdFailed, match=f"pid {pid}"):
        await running
    assert await service.start() != pid


def runs(pid: int) -> bool:
    """Whether a process is there that has not ended: one whose parent has yet to ask for its end has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_one_that_nobody_reaches_makes_room(config: ContainerdConfig) -> None:
    """A containerd without its socket, whose starter was killed meanwhile, does not keep the next from its
    database."""
    unheard = await ContainerdProcess(config).start()
    config.socket.unlink()
    pid = await ContainerdProcess(config).start()
    assert listener(config.socket) == pid
    assert not runs(unheard)


async def test_one_that_does_not_answer_in_time_is_ended(
    config: ContainerdConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What did not answer when the start was given up does not stay."""
    hung = tmp_path / "hung"
    version = "print('containerd containerd.io 1.6.20') if '--version' in sys.argv else signal.pause()"
    hung.write_text(f"#!{sys.executable}\nimport signal, sys\n{version}\n")
    hung.chmod(0o755)
    monkeypatch.setattr("minikube_py.cluster.containerd.START_WITHIN", 0.2)
    broken = replace(config, binary=str(hung))
    with pytest.raises(ContainerdFailed, match="did not answer"):
        await ContainerdProcess(broken).start()
    assert leftovers.daemons(config.config_file) == []


async def test_a_configuration_it_refuses_is_told(config: ContainerdConfig) -> None:
    """containerd's own words are in the error when it does not start."""
    config.folder.mkdir()
    config.root.write_text("a file where a folder must be")
    with pytest.raises((ContainerdFailed, FileExistsError)):
        await ContainerdProcess(config).start()
    broken = replace(config, folder=config.folder.with_name("d"), binary="/bin/false")
    with pytest.raises(Exception, match="/bin/false"):
        await ContainerdProcess(broken).start()


async def test_state_of_before_a_reboot_is_forgotten(config: ContainerdConfig) -> None:
    """Sockets and bundles that did not survive the reboot are not taken for live ones."""
    stale = config.state / "io.containerd.runtime.v2.task" / "k8s.io" / "old"
    stale.mkdir(parents=True)
    (config.state / "boot_id").write_text("another boot")
    await ContainerdProcess(config).start()
    assert not stale.exists()


async def test_waiting_for_a_process_that_is_gone() -> None:
    """There is nothing to wait for."""
    await asyncio.wait_for(ended(2**22 + 1), 1)


def test_a_socket_nobody_listens_on(tmp_path: Path) -> None:
    """Neither a missing nor a dead socket has a listener."""
    (tmp_path / "dead.sock").touch()
    assert (listener(tmp_path / "none.sock"), listener(tmp_path / "dead.sock")) == (None, None)
