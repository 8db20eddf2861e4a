"""Subprocesses: output, failure, timeout, and children that outlive us."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from minikube_py.aio import process


async def test_run_gives_output_and_passes_input() -> None:
    """stdin goes in, stdout and stderr come out, apart."""
    done = await process.run(["sh", "-c", "cat; echo err >&2"], input="in")
    assert (done.code, done.stdout, done.stderr) == (0, "in", "err\n")


async def test_failure_names_the_command_and_its_words() -> None:
    """A code other than 0 is an error that shows stderr, unless the caller wants to see for itself."""
    with pytest.raises(process.CommandFailed, match="ended with code 3: no luck"):
        await process.run(["sh", "-c", "echo no luck >&2; exit 3"])
    assert (await process.run(["false"], check=False)).code == 1
    assert process.run_blocking(["false"], check=False).code == 1


async def test_a_command_that_takes_too_long_is_killed() -> None:
    """The time-out ends the child, too."""
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        await process.run(["sleep", "60"], timeout=0.05)
    assert time.monotonic() - begin < 30


async def test_a_detached_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    """It logs to its file, is no member of our process group, and inherits what it is told to."""
    read, write = os.pipe()
    code = f"import os,sys; print('hello'); sys.stdout.flush(); os.write({write}, str(os.getsid(0)).encode())"
    pid = process.spawn_detached([sys.executable, "-c", code], log=tmp_path / "log", pass_fds=(write,))
    os.close(write)
    with os.fdopen(read) as told:
        session = await asyncio.to_thread(told.read)
    await asyncio.to_thread(os.waitpid, pid, 0)
    assert (int(session), (tmp_path / "log").read_text()) == (pid, "hello\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
