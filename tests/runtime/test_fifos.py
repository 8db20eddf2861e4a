"""FIFOs between processes: nothing is lost, and nobody blocks the loop."""

import asyncio
import os
from pathlib import Path

import pytest

from minikube_py.aio.tasks import Tasks
from minikube_py.runtime.fifos import Fifo
from minikube_py.runtime.processes import Wanted, process_spec

BIG = os.urandom(1 << 20)


async def test_input_waits_for_a_late_reader(tmp_path: Path) -> None:
    """What was written before the other side opens the FIFO, and before this side ended it, is all read."""
    fifo = Fifo(tmp_path / "in", reads=False)
    async with Tasks("writer") as tasks:

        async def write() -> None:
            await fifo.write(BIG)
            fifo.end()

        writing = tasks.spawn(write(), "write")
        assert await asyncio.to_thread((tmp_path / "in").read_bytes) == BIG
        await writing
    fifo.close()


async def test_output_ends_with_its_writers(tmp_path: Path) -> None:
    """All that another process has written is read, then its end."""
    fifo = Fifo(tmp_path / "out", reads=True)
    writer = os.open(tmp_path / "out", os.O_WRONLY)

    def write() -> None:
        with open(writer, "wb") as file:
            file.write(BIG)

    async with Tasks("writer") as tasks:
        writing = tasks.spawn(asyncio.to_thread(write), "write")
        found = b""
        while data := await fifo.read():
            found += data
        await writing
    assert (found == BIG, await fifo.read()) == (True, b"")
    fifo.close()


async def test_closing_wakes_who_waits(tmp_path: Path) -> None:
    """A reader comes back empty, a writer comes back, when their FIFO is closed under them."""
    out, into = Fifo(tmp_path / "out", reads=True), Fifo(tmp_path / "in", reads=False)
    holder = os.open(tmp_path / "out", os.O_WRONLY)
    async with Tasks("waiting") as tasks:
        reading, writing = tasks.spawn(out.read(), "read"), tasks.spawn(into.write(BIG), "write")
        await asyncio.sleep(0)
        out.close()
        into.close()
        assert (await reading, await writing) == (b"", None)
    os.close(holder)


@pytest.mark.parametrize(
    ("tty", "streams", "ignored"),
    [(False, ("stdin", "stdout", "stderr"), ("stderr",)), (True, ("stdin", "stdout"), ())],
)
def test_streams_of_a_shim(tty: bool, streams: tuple[str, ...], ignored: tuple[str, ...]) -> None:
    """A shim has both outputs or a terminal, whatever the client wants."""
    wanted = Wanted("id", ["sh"], stdin=True, stdout=True, stderr=False, tty=tty)
    assert (wanted.streams, wanted.ignored) == (streams, ignored)


def test_process_of_a_command() -> None:
    """A command is its container's process with other words; a terminal is an xterm."""
    spec = b'{"process":{"args":["main"],"env":["TERM=x","A=b"],"user":{"uid":7},"cwd":"/"}}'
    wanted = Wanted("id", ["sh", "-c", "ls"], stdin=False, stdout=True, stderr=False, tty=True)
    assert process_spec(spec, wanted) == (
        b'{"args":["sh","-c","ls"],"env":["A=b","TERM=xterm"],"user":{"uid":7},"cwd":"/","terminal":true}'
    )
