"""Containerd: the Runtime over containerd's socket (CRI v1 for pods, its own services for events and images).

Works with containerd 1.6, 1.7 and 2.x. Ids are containerd's. Calls fail with RuntimeUnavailable while
containerd restarts; the channel reconnects by itself.
"""

import asyncio
import contextlib
import stat
from pathlib import Path
from typing import Self

from minikube_py.runtime.base import RuntimeUnavailable
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.containers import CriContainers
from minikube_py.runtime.images import CriImages
from minikube_py.runtime.monitor import CriMonitor
from minikube_py.runtime.proto import cri_pb2 as cri
from minikube_py.runtime.sandboxes import SERVICE, CriSandboxes
from minikube_py.runtime.stops import Stops
from minikube_py.runtime.streams import CriStreams

CAP_SYS_RESOURCE = 1 << 24


class Containerd:
    """One containerd; made by `connect`."""

    def __init__(self, socket: str, *, shut: Path | None = None) -> None:
        floor = oom_score_floor(Path("/proc/self"))
        self._calls = Calls(f"unix:{socket}")
        stops = Stops()
        self.sandboxes = CriSandboxes(self._calls, stops)
        self.containers = CriContainers(self._calls, stops, oom_score_floor=floor)
        self.images = CriImages(self._calls)
        self.streams = CriStreams(self._calls, Path(socket).parent)
        self.monitor = CriMonitor(self._calls, stops, oom_score_floor=floor, shut=shut)

    @classmethod
    async def connect(
        cls, socket_path: Path | str, *, timeout: float = 30.0, state: Path | None = None
    ) -> Self:
        """The containerd that listens on `socket_path` (a path, or unix://<path>); waits up to `timeout`
        seconds until it answers. `state` is the folder of its bundles, where that is known: pods have users of
        their own only where these may reach it. Errors: TimeoutError, RuntimeFailed where it serves no CRI
        v1."""
        path = str(socket_path).removeprefix("unix://")
        containerd = cls(path, shut=shut_folder(state) if state is not None else None)
        try:
            async with asyncio.timeout(timeout):
                await containerd._answers()
        except TimeoutError as error:
            await containerd.close()
            raise TimeoutError(f"no container runtime answers at {path} within {timeout:g} s") from error
        except BaseException:
            await containerd.close()
            raise
        return containerd

    async def _answers(self) -> None:
        """Wait until CRI serves: first the socket, then the recovery of what ran before."""
        method, request = SERVICE + "Status", cri.StatusRequest()
        while True:
            try:
                await self._calls.unary(method, request, cri.StatusResponse, deadline=None, wait_for_ready=True)
                return
            except RuntimeUnavailable:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End the connection; containers run on."""
        await self.streams.close()
        await self._calls.close()


def shut_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that others than its owner and group may not pass through; None
    where there is none. What is not there yet counts as open."""
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(FileNotFoundError):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return folder
    return None


def oom_score_floor(process: Path) -> int:
    """The lowest oom_score_adj that a process (its folder in /proc) may give to a child: -1000, or its own
    where it lacks CAP_SYS_RESOURCE (proc(5))."""
    try:
        status = (process / "status").read_text()
        capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
        if int(capabilities.split()[1], 16) & CAP_SYS_RESOURCE:
            return -1000
        return int((process / "oom_score_adj").read_text())
    except (OSError, StopIteration, ValueError):
        return -1000
