"""ContainerdProcess: the cluster's own containerd, started detached so that containers outlive this process.

One that already listens on our socket with the same configuration is adopted (its pid comes from the socket
itself, so no stale pid file can mislead). It is watched while we run; its end is a crash of this service, which
is then restarted with backoff and starts it again. Cancelling the service ends containerd, but not the
containers, which belong to their shims.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio import process
from minikube_py.aio.tasks import Tasks
from minikube_py.cluster import halfmade, leftovers, strays
from minikube_py.cluster.containerd_config import ContainerdConfig, render, version_of
from minikube_py.cluster.strays import Strays

log = logging.getLogger(__name__)

START_WITHIN = 60.0
"""Seconds until the socket answers: before that containerd asks each shim that it finds, one after another, and
waits some seconds for one that hangs."""
END_WITHIN = 10.0  # seconds from SIGTERM to SIGKILL
LOG_LIMIT = 10 << 20  # bytes at which the log is set aside when containerd starts
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ContainerdFailed(Exception):
    """containerd did not start, or ended; the message holds the end of its log."""


def listener(path: Path) -> int | None:
    """The pid of the process that listens on the unix socket `path`, or None if nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return None
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        return pid


async def ended(pid: int) -> None:
    """Wait until the process is gone; one that is our child is reaped."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _reap(pid)


def _reap(pid: int) -> None:
    """Collect an ended child; fine if it is none of ours, or was collected."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def end_listener(path: Path) -> None:
    """End the containerd that listens on the socket `path` by SIGTERM, after a while by SIGKILL; fine if none
    does. Errors: ContainerdFailed."""
    pid = listener(path)
    if pid is None:
        return
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sent)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN):
                await ended(pid)
            return
    raise ContainerdFailed(f"containerd (pid {pid}) does not end")


@dataclass(slots=True)
class ContainerdProcess:
    """containerd as a Service. `keep_running`: leave it be when the service is cancelled."""

    config: ContainerdConfig
    keep_running: bool = False
    name: str = "containerd"
    version: str = ""
    """What `containerd --version` prints; asked at the first start."""

    async def run(self, ready: asyncio.Event) -> None:
        """Adopt or start it, and stay until it ends (ContainerdFailed) or we are cancelled."""
        pid = await self.start()
        ready.set()
        try:
            async with Tasks("containerd") as tasks:
                tasks.spawn(Strays(self.config).run(), "strays")
                await ended(pid)
        except asyncio.CancelledError:
            if not self.keep_running:
                await self.stop()
            raise
        why = [
            line for line in self._log_lines() if "level=fatal" in line or line.startswith(("panic:", "fatal"))
        ]
        raise ContainerdFailed(": ".join([f"containerd (pid {pid}) ended", *why[-1:]]))

    async def start(self) -> int:
        """Adopt or start it; its pid, once its socket answers. Errors: ContainerdFailed."""
        config = self.config
        if not self.version:
            self.version = (await process.run([config.binary, "--version"])).stdout
        text = render(config, version_of(self.version))
        unchanged = config.config_file.exists() and config.config_file.read_text() == text
        if (pid := listener(config.socket)) is not None:
            if unchanged:
                await self._end_strays()
                return pid
            await self.stop()
        await self._end_unheard()
        self._prepare(text)
        given_back = await asyncio.to_thread(halfmade.give_back, config.folder, config.state)
        if given_back:
            log.info("gave back %d parts of half-made sandboxes", len(given_back))
        environment = {"PATH": os.pathsep.join((os.environ.get("PATH", ""), SEARCH_PATH))}
        begun = time.time()
        pid = process.spawn_detached(
            [config.binary, "--config", str(config.config_file)], log=config.log, env=environment
        )
        try:
            await self._answers(pid)
        except ContainerdFailed:
            await self._end_unheard()
            raise
        await self._end_strays()
        await strays.drop_leases(config.socket, before=begun)
        return pid

    async def _end_unheard(self) -> None:
        """Kill the containerd that was started with this configuration and does not answer, where there is one:
        whoever started it was killed or gave up meanwhile. It would keep the database from any other."""
        for pid in await asyncio.to_thread(leftovers.kill_daemons, self.config.config_file):
            log.warning("killed the containerd (pid %d) that did not answer", pid)
            _reap(pid)

    async def _end_strays(self) -> None:
        """End the shims of containers that were given up while they were being made."""
        if ended := await asyncio.to_thread(leftovers.end_stray_shims, self.config.socket, self.config.state):
            log.info("ended %d stray shims", ended)

    async def stop(self) -> None:
        """End it by SIGTERM, after a while by SIGKILL; containers run on. Fine if it does not run."""
        await end_listener(self.config.socket)

    def _prepare(self, text: str) -> None:
        config = self.config
        for folder in (config.root, config.state, config.certs, config.socket.parent, config.log.parent):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        config.state.parent.chmod(0o711)  # users of pods with hostUsers: false pass to their bundles
        boot, kept = BOOT_ID.read_text(), config.state / "boot_id"
        if kept.exists() and kept.read_text() != boot:  # what it describes did not survive the reboot
            for folder in (config.state, config.cni_data):
                shutil.rmtree(folder, ignore_errors=True)
            config.state.mkdir(mode=0o711)
        kept.write_text(boot)
        config.socket.unlink(missing_ok=True)
        if config.log.exists() and config.log.stat().st_size > LOG_LIMIT:
            config.log.replace(config.log.with_suffix(".log.1"))
        fresh = config.config_file.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.replace(config.config_file)

    async def _answers(self, pid: int) -> None:
        """Wait until the socket answers; there is nothing to be woken by, hence the short naps."""
        async with Tasks("containerd") as tasks:
            death = tasks.spawn(ended(pid), "death")
            try:
                async with asyncio.timeout(START_WITHIN):
                    while listener(self.config.socket) != pid:
                        await asyncio.wait((death,), timeout=0.005)
                        if death.done():
                            raise ContainerdFailed(f"containerd did not start: {self._log_end()}")
            except TimeoutError as error:
                raise ContainerdFailed(
                    f"containerd did not answer within {START_WITHIN:g} s: {self._log_end()}"
                ) from error

    def _log_lines(self) -> list[str]:
        """The last lines of its log; none where there is no log."""
        try:
            return self.config.log.read_text(errors="replace").splitlines()[-50:]
        except OSError:
            return []

    def _log_end(self) -> str:
        lines = self._log_lines()
        if not lines:
            return "it left no log"
        telling = [
            line for line in lines if "level=fatal" in line or "level=error" in line or "containerd:" in line
        ]
        return "; ".join((telling or lines)[-3:])
