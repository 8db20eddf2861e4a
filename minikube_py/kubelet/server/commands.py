"""exec and attach between any CommandClient and a command: input in, output and the end of it out.

The Status comes once all output has. A client that goes, or neither sends nor gets anything for the idle
timeout, ends the session; the command runs on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.server.channels import (
    CLOSE,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    CommandClient,
    Wanted,
)
from minikube_py.kubelet.server.resizing import Resizing, sizes
from minikube_py.kubelet.server.spdy import SpdyConnection, SpdyFailed, SpdyStream
from minikube_py.kubelet.server.upgrade import both_ways
from minikube_py.runtime.base import Process, RuntimeFailed

ENDING_WITHIN, ENDING_CHECKS = 2.0, 20  # seconds for the runtime to tell of an end, and looks at it meanwhile
SUCCESS = b'{"metadata":{},"status":"Success"}'
NAMES = {STDOUT: "stdout", STDERR: "stderr"}


class Command(Protocol):
    """What a client is joined with."""

    async def read(self, channel: int) -> bytes:
        """Its output, at least a byte; empty at the end."""

    async def write(self, data: bytes) -> None: ...
    async def end_input(self) -> None: ...
    async def resize(self, size: Mapping[str, int]) -> None: ...
    def missed(self) -> AsyncIterator[tuple[int, bytes]]:
        """Output that came before anybody could read it; asked where nothing could be read."""

    async def status(self) -> bytes:
        """How it ended, once all output is read: a Status in JSON."""


class ExecCommand:
    """A command that runs in a container for the client."""

    def __init__(self, process: Process, argv: Sequence[str]) -> None:
        self._process, self._argv = process, argv

    async def read(self, channel: int) -> bytes:
        """Its output."""
        return await self._process.read(NAMES[channel])

    async def write(self, data: bytes) -> None:
        """Give it input."""
        await self._process.write(data)

    async def end_input(self) -> None:
        """Its input ends."""
        await self._process.close_stdin()

    async def resize(self, size: Mapping[str, int]) -> None:
        """The size of its terminal; one that has ended needs none."""
        with contextlib.suppress(RuntimeFailed):
            await self._process.resize(size["Width"], size["Height"])

    async def missed(self) -> AsyncIterator[tuple[int, bytes]]:
        """Nothing is missed."""
        nothing: tuple[tuple[int, bytes], ...] = ()
        for piece in nothing:
            yield piece

    async def status(self) -> bytes:
        """Success, or its exit code."""
        try:
            return exit_status(await self._process.wait(), self._argv)
        except RuntimeFailed as error:
            return failed_status(str(error))


@dataclass(frozen=True, slots=True)
class Replay:
    """What a container has printed: for who attaches to one that has just started and may end before the
    runtime lets anybody attach. `ended`: whether it runs no more; `read`: its log's Stdout or Stderr."""

    ended: Callable[[], Awaitable[bool]]
    read: Callable[[str], AsyncIterator[bytes]]

    async def has_ended(self) -> bool:
        """Whether the container runs no more, which is known some moments after its streams have ended."""
        for _ in range(ENDING_CHECKS):
            if await self.ended():
                return True
            await asyncio.sleep(ENDING_WITHIN / ENDING_CHECKS)
        return False


class AttachCommand:
    """The process of a container itself, by the runtime's streaming server; without `streams` it has ended.
    `taken` ends once the runtime has taken all input, and the session with it; without it that goes on."""

    def __init__(
        self,
        streams: Mapping[int, SpdyStream],
        outputs: Sequence[int],
        replay: Replay | None,
        taken: SpdyStream | None = None,
    ) -> None:
        self._streams, self._outputs, self._replay, self._taken = streams, outputs, replay, taken
        self._status = b""

    async def read(self, channel: int) -> bytes:
        """Its output; a stream that the runtime has dropped has ended."""
        try:
            return await self._streams[channel].read() if channel in self._streams else b""
        except SpdyFailed:
            return b""

    async def write(self, data: bytes) -> None:
        """Give it input; one that has ended takes none."""
        with contextlib.suppress(SpdyFailed):
            if STDIN in self._streams:
                await self._streams[STDIN].write(data)

    async def end_input(self) -> None:
        """The client's input ends."""
        with contextlib.suppress(SpdyFailed):
            if STDIN in self._streams:
                await self._streams[STDIN].close()
            while self._taken is not None and await self._taken.read():
                pass
        if self._taken is not None:
            for stream in self._streams.values():
                stream.end()

    async def resize(self, size: Mapping[str, int]) -> None:
        """The size of its terminal."""
        with contextlib.suppress(SpdyFailed):
            if RESIZE in self._streams:
                await self._streams[RESIZE].write(orjson.dumps(size))

    async def missed(self) -> AsyncIterator[tuple[int, bytes]]:
        """What a container has printed that ended before it could be attached to."""
        if self._replay is None or not await self._replay.has_ended():
            return
        self._status = SUCCESS
        for number in self._outputs:
            async for piece in self._replay.read(NAMES[number].capitalize()):
                yield number, piece

    async def status(self) -> bytes:
        """What the runtime says; a success where the container has simply ended."""
        if self._status:
            return self._status
        data = b""
        while piece := await self.read(ERROR):
            data += piece
        return data or SUCCESS


async def attach_streams(spdy: SpdyConnection, wanted: Wanted) -> dict[int, SpdyStream]:
    """The streams of a container's process, in the order in which remote command clients open them.
    Errors: SpdyFailed."""
    streams = {ERROR: await spdy.open({"streamtype": "error"})}
    if wanted.stdin:
        streams[STDIN] = await spdy.open({"streamtype": "stdin"})
    for number in wanted.outputs:
        streams[number] = await spdy.open({"streamtype": NAMES[number]})
    if wanted.tty:
        streams[RESIZE] = await spdy.open({"streamtype": "resize"})
    return streams


class Idle:
    """Ends a session in which nothing has passed for `limit` seconds."""

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock, self._limit = clock, limit
        self._last = clock.monotonic()

    def touch(self) -> None:
        """Something has passed."""
        self._last = self._clock.monotonic()

    async def over(self) -> None:
        """Wait until nothing has passed for so long."""
        while (left := self._last + self._limit - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)


async def serve(client: CommandClient, command: Command, outputs: Sequence[int], idle: Idle) -> None:
    """Join client and command until it ends, the client goes, or nothing passes for too long."""
    async with Tasks("greeting") as tasks:
        greeting = tasks.spawn(client.greet(), "greet")

        async def downstream() -> None:
            pumps = (_pump_out(client, command, number, idle) for number in outputs)
            if not sum(await asyncio.gather(*pumps)):
                async for number, data in command.missed():
                    await greeting
                    await client.send(number, data)
            for number in outputs:
                await client.end(number)
            status = await command.status()
            greeting.cancel()  # the Status is the last that a client hears
            await client.send_status(status)

        await both_ways(downstream, lambda: _pump_in(client, command, idle), idle.over)
    await client.close()


async def _pump_out(client: CommandClient, command: Command, number: int, idle: Idle) -> int:
    """Pass an output on to its end; how many bytes it had."""
    sent = 0
    while data := await command.read(number):
        await client.send(number, data)
        sent += len(data)
        idle.touch()
    return sent


async def _pump_in(client: CommandClient, command: Command, idle: Idle) -> None:
    """Pass input on until the client goes."""
    async with Resizing(command.resize) as resizing:
        while message := await client.receive():
            number, data = message
            idle.touch()
            if number == RESIZE:
                resizing.to(sizes(data))
                continue
            await resizing.settled()
            if number == STDIN and data:
                await command.write(data)
            elif number == CLOSE and data[:1] == bytes((STDIN,)):
                await command.end_input()


def exit_status(code: int, argv: Sequence[str]) -> bytes:
    """The Status of a command that has ended."""
    if code == 0:
        return SUCCESS
    words = f"error executing command [{' '.join(argv)}], exit code {code}"
    return orjson.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: {words}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


def failed_status(message: str) -> bytes:
    """The Status of a command that could not be run."""
    words = f"error executing command in container: {message}"
    return orjson.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"Internal error occurred: {words}",
            "reason": "InternalError",
            "details": {"causes": [{"message": words}]},
            "code": 500,
        }
    )
