"""Commands in containers by containerd's Tasks service, over FIFOs of our own.

CRI's own streaming closes a command's stdin as soon as one of its outputs ends, so that `sh -c 'cat > file'`
(whose only holder of stdout has put it elsewhere) loses its input; here each stream lives for itself. The
FIFOs' names are gone once the shim has opened them.
"""

import asyncio
import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from minikube_py.aio.tasks import Tasks
from minikube_py.runtime.base import RuntimeFailed, RuntimeNotFound
from minikube_py.runtime.calls import Calls
from minikube_py.runtime.fifos import Fifo
from minikube_py.runtime.proto import containerd_pb2 as containerd

TASKS = "/containerd.services.tasks.v1.Tasks/"
GET = "/containerd.services.containers.v1.Containers/Get"
PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
TERMINAL = "TERM=xterm"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A command to start in a container, and which of its streams are wanted."""

    container: str
    command: Sequence[str]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that the shim must have: a terminal has no stderr, both outputs else."""
        outputs = ("stdout",) if self.tty else ("stdout", "stderr")
        return ("stdin", *outputs) if self.stdin else outputs

    @property
    def ignored(self) -> tuple[str, ...]:
        """The outputs among them that nobody wants."""
        wanted = {"stdin": True, "stdout": self.stdout, "stderr": self.stderr}
        return tuple(name for name in self.streams if not wanted[name])


class ContainerdProcess:
    """The contract's Process; made by `start_process`. `tasks` own what is left to do after `close`."""

    def __init__(self, calls: Calls, wanted: Wanted, id: str, tasks: Tasks) -> None:
        self._calls, self._wanted, self._id, self._tasks = calls, wanted, id, tasks
        self._container = wanted.container
        self._fifos: dict[str, Fifo] = {}
        self._ending: asyncio.Task[int | Exception] | None = None
        self._over = False

    async def read(self, stream: str) -> bytes:
        """What the command prints; empty at the end, or where the stream was not wanted."""
        fifo = self._fifos.get(stream)
        return await fifo.read() if fifo is not None else b""

    async def write(self, data: bytes) -> None:
        """Give the command input, as fast as it reads."""
        if (fifo := self._fifos.get("stdin")) is not None:
            await fifo.write(data)

    async def close_stdin(self) -> None:
        """The command's input ends once it has read what is written."""
        fifo = self._fifos.get("stdin")
        if fifo is None or self._over:
            return
        fifo.end()
        request = containerd.CloseIORequest(container_id=self._container, exec_id=self._id, stdin=True)
        try:
            await self._calls.unary(TASKS + "CloseIO", request, containerd.Empty)
        except RuntimeNotFound:
            return  # it has ended

    async def resize(self, width: int, height: int) -> None:
        """The size of the command's terminal."""
        request = containerd.ResizePtyRequest(
            container_id=self._container, exec_id=self._id, width=width, height=height
        )
        await self._calls.unary(TASKS + "ResizePty", request, containerd.Empty)

    async def wait(self) -> int:
        """The command's exit code, once it has ended."""
        assert self._ending is not None
        code = await asyncio.shield(self._ending)
        if isinstance(code, Exception):
            raise RuntimeFailed(str(code)) from code
        self._over = True
        return code

    async def _ended(self) -> int | Exception:
        try:
            answer = await self._ask("Wait", containerd.WaitResponse, deadline=None)
        except (RuntimeFailed, TimeoutError) as error:
            return error
        return int(answer.exit_status)

    async def close(self) -> None:
        """Leave the command to itself, as containerd does: its stdin ends (but a terminal's, whose end would be
        a hangup), and what it prints stays where it is, so that one that prints much comes to a halt. It is
        forgotten once it has ended."""
        self._tasks.spawn(self._leave(), f"exec/{self._id[:12]}")

    async def start(self, request: containerd.ExecProcessRequest, folder: Path) -> None:
        """Start it with FIFOs in `folder`. Errors: RuntimeFailed with runc's words."""
        for name in self._wanted.streams:
            self._fifos[name] = Fifo(folder / name, reads=name != "stdin")
            setattr(request, name, str(folder / name))
        await self._calls.unary(TASKS + "Exec", request, containerd.Empty)
        try:
            await self._ask("Start", containerd.StartResponse)
        except RuntimeFailed as error:
            await self.forget()
            raise RuntimeFailed(f'failed to start exec "{self._id}": {error}') from error
        # asked at once: where the container goes with it, nobody can tell its exit code afterwards
        self._ending = self._tasks.spawn(self._ended(), f"exec/{self._id[:12]}/end")
        for name in self._wanted.ignored:
            self._tasks.spawn(self._drain(name), f"exec/{self._id[:12]}/{name}")

    async def _leave(self) -> None:
        try:
            if not self._wanted.tty:
                await self.close_stdin()
                self.release()
            if not self._over:
                await self.wait()
        except (RuntimeFailed, TimeoutError):
            return  # its container, or the runtime, is gone
        finally:
            self.release()
        await self.forget()

    async def forget(self) -> None:
        """Have the runtime forget a command that has ended."""
        with contextlib.suppress(RuntimeFailed, TimeoutError):
            await self._ask("DeleteProcess", containerd.WaitResponse)

    async def _drain(self, stream: str) -> None:
        while await self.read(stream):
            pass

    def release(self) -> None:
        """Close the FIFOs."""
        for fifo in self._fifos.values():
            fifo.close()

    async def _ask(self, verb: str, response: type[Any], *, deadline: float | None = 60.0) -> Any:
        request = containerd.ProcessRequest(container_id=self._container, exec_id=self._id)
        return await self._calls.unary(TASKS + verb, request, response, deadline=deadline)


async def start_process(calls: Calls, wanted: Wanted, tasks: Tasks, place: Path) -> ContainerdProcess:
    """Start a command in a running container, with FIFOs in a folder below `place`. Errors: RuntimeFailed."""
    spec = await container_spec(calls, wanted.container)
    request = containerd.ExecProcessRequest(
        container_id=wanted.container, exec_id=secrets.token_hex(32), terminal=wanted.tty
    )
    request.spec.type_url = PROCESS
    request.spec.value = process_spec(spec, wanted)
    process = ContainerdProcess(calls, wanted, request.exec_id, tasks)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="exec-", dir=place))
    try:
        await process.start(request, folder)
    except RuntimeFailed as error:
        process.release()
        raise RuntimeFailed(f"failed to exec in container: {error}") from error
    except BaseException:
        process.release()
        raise
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return process


async def container_spec(calls: Calls, id: str) -> bytes:
    """The OCI specification that a container, or a sandbox, was made by. Errors: RuntimeFailed."""
    found = await calls.unary(GET, containerd.GetContainerRequest(id=id), containerd.GetContainerResponse)
    return bytes(found.container.spec.value)


def process_spec(spec: bytes, wanted: Wanted) -> bytes:
    """The OCI process of a command: its container's own (user, capabilities, limits, ...) with other words."""
    process = orjson.loads(spec)["process"]
    process |= {"args": list(wanted.command), "terminal": wanted.tty}
    if wanted.tty:
        others = [entry for entry in process.get("env") or () if not entry.startswith("TERM=")]
        process["env"] = [*others, TERMINAL]
    return orjson.dumps(process)
