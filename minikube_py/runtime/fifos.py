"""FIFOs between this process and a container's: made here, opened by the runtime's shim by their names.

Neither end ever blocks the loop. A FIFO is held open from both sides until `close`, so that nothing that was
written is lost when the other process opens it late or ends early; whether it has ended is asked elsewhere.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

PIECE = 64 * 1024


class Fifo:
    """One end of a new FIFO at `path`: to read from, or else to write to."""

    def __init__(self, path: Path, *, reads: bool) -> None:
        os.mkfifo(path, 0o600)
        self._files = [os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)]
        if not reads:
            self._files.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        self._waiting: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """What is there, at least a byte; empty once every writer has closed."""
        while self._files:
            try:
                return os.read(self._files[0], PIECE)
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await self._until(loop.add_reader, loop.remove_reader, self._files[0])
        return b""

    async def write(self, data: bytes) -> None:
        """Write all of it, as fast as it is read; nothing after `end`."""
        rest = memoryview(data)
        while rest and len(self._files) > 1:
            try:
                rest = rest[os.write(self._files[1], rest[:PIECE]) :]
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await self._until(loop.add_writer, loop.remove_writer, self._files[1])

    async def _until(self, watch: Callable[..., None], unwatch: Callable[[int], object], file: int) -> None:
        """Wait until the loop says that `file` is ready, or it is closed."""
        self._waiting = asyncio.get_running_loop().create_future()
        watch(file, _wake, self._waiting)
        try:
            await self._waiting
        finally:
            if file in self._files:  # else its number may be another's by now
                unwatch(file)

    def end(self) -> None:
        """This side writes no more; what is written is still to be read."""
        _wake(self._waiting)
        for file in self._files[1:]:
            _unwatched(file)
        del self._files[1:]

    def close(self) -> None:
        """Let go of it; who reads or writes comes back."""
        _wake(self._waiting)
        for file in self._files:
            _unwatched(file)
        self._files.clear()


def _unwatched(file: int) -> None:
    """Close a file that the loop may still watch."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(file)
    loop.remove_writer(file)
    os.close(file)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
