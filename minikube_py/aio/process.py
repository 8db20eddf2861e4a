"""The one door to subprocesses: run a command to its end, or spawn a child that is waited for later."""

import asyncio
import os
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandFailed(Exception):
    """A command ended with another code than 0; the message holds the command and the end of its stderr."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"`{' '.join(argv)}` ended with code {code}: {stderr.strip()[-2000:]}")
        self.code = code
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


async def run(
    argv: Sequence[str],
    *,
    input: str | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float = 60.0,
) -> Completed:
    """Run `argv` to its end (no shell). `env` adds to the environment. Errors: CommandFailed, TimeoutError,
    FileNotFoundError where the program is missing."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **env} if env else None,
    )
    try:
        async with asyncio.timeout(timeout):  # wait_for may lose a cancellation (until Python 3.12)
            out, err = await child.communicate(input.encode() if input is not None else None)
    except BaseException:
        if child.returncode is None:
            child.kill()
            await child.wait()
        raise
    completed = Completed(child.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and completed.code:
        raise CommandFailed(argv, completed.code, completed.stderr)
    return completed


def spawn_detached(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> int:
    """Start `argv` in a session of its own, so that it outlives this process; output goes to `log`, and it
    inherits the descriptors `pass_fds`. The pid."""
    with log.open("ab") as output, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it is meant to outlive the Popen object
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
            env={**os.environ, **env} if env else None,
        )
        pid = child.pid
        del child
    return pid


def run_blocking(argv: Sequence[str], *, check: bool = True, timeout: float = 60.0) -> Completed:
    """The same as `run` for callers without an event loop (the CLI)."""
    ended = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )
    completed = Completed(ended.returncode, ended.stdout, ended.stderr)
    if check and completed.code:
        raise CommandFailed(argv, completed.code, completed.stderr)
    return completed
