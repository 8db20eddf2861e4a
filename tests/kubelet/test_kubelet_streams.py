"""Logs as clients ask for them, their rotation, and how a command's end is told in words."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.logs.reading import LogOptions, read_log, split_lines
from minikube_py.kubelet.logs.rotation import put_back, set_aside
from minikube_py.kubelet.server.channels import failure_of
from minikube_py.kubelet.server.find import kept_log

FIRST = b"2026-01-01T00:00:00.5Z stdout F one\rstill one\n"
PART = b"2026-01-01T00:00:01.123456789Z stdout P begin \n"
REST = b"2026-01-01T00:00:02Z stdout F end\n"
WRONG = b"2026-01-01T00:00:03.000000001+01:00 stderr F \x1b[31m\xff\n"
LOG = (FIRST, PART, REST, WRONG)


async def read(path: Path, records: Sequence[bytes] = LOG, **options: object) -> bytes:
    """What a log of these records gives."""
    path.write_bytes(b"".join(records))
    chosen = LogOptions(**options)  # type: ignore[arg-type]
    return b"".join([piece async for piece in read_log(path, chosen, lambda: False)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, b"one\rstill one\nbegin end\n\x1b[31m\xff\n"),
        ({"stream": "Stdout"}, b"one\rstill one\nbegin end\n"),
        ({"stream": "Stderr"}, b"\x1b[31m\xff\n"),
        ({"tail": 1}, b"\x1b[31m\xff\n"),
        ({"tail": 0}, b""),
        ({"limit": 5}, b"one\rs"),
        ({"since": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC), "stream": "Stdout"}, b"begin end\n"),
        (
            {"timestamps": True},
            b"2026-01-01T00:00:00.500000000Z one\rstill one\n"
            b"2026-01-01T00:00:01.123456789Z begin end\n"
            b"2026-01-01T00:00:03.000000001+01:00 \x1b[31m\xff\n",
        ),
    ],
    ids=str,
)
async def test_what_of_a_log(tmp_path: Path, options: dict[str, object], expected: bytes) -> None:
    """Bytes are as they were printed, a line in parts is one, times have nine digits and stand once a line."""
    assert await read(tmp_path / "0.log", **options) == expected


async def test_times_without_fraction(tmp_path: Path) -> None:
    """A time that falls on a second has nine digits, too."""
    assert await read(tmp_path / "0.log", [REST], timestamps=True) == b"2026-01-01T00:00:02.000000000Z end\n"


@pytest.mark.parametrize(
    ("data", "lines"),
    [(b"", []), (b"a", [b"a"]), (b"a\n", [b"a\n"]), (b"a\r\x0bb\n\nc", [b"a\r\x0bb\n", b"\n", b"c"])],
)
def test_lines_end_with_newlines_only(data: bytes, lines: list[bytes]) -> None:
    """A carriage return ends no line."""
    assert split_lines(data) == lines


async def test_following_over_a_rotation(tmp_path: Path) -> None:
    """Who follows gets what was written to the old file after its move, then the new file, nothing twice."""
    path, aside = tmp_path / "0.log", tmp_path / "0.log.20260101-000000"
    path.write_bytes(FIRST)
    running, seen = True, b""
    reading = read_log(path, LogOptions(follow=True), lambda: running)
    seen += await anext(reading)
    writer = os.open(path, os.O_WRONLY | os.O_APPEND)
    set_aside(path, aside, keep=5)
    os.write(writer, PART + REST)
    path.write_bytes(WRONG)  # the runtime has opened its new file
    os.close(writer)
    running = False
    async with asyncio.timeout(10):
        seen += b"".join([piece async for piece in reading])
    assert seen == b"one\rstill one\nbegin end\n\x1b[31m\xff\n"


def test_a_rotation_is_undone(tmp_path: Path) -> None:
    """A log whose container goes on with the moved file gets its name back, unless there is a new one."""
    path, aside = tmp_path / "0.log", tmp_path / "0.log.20260101-000000"
    path.write_bytes(b"old")
    set_aside(path, aside, keep=5)
    put_back(path, aside)
    assert (path.read_bytes(), aside.exists()) == (b"old", False)
    set_aside(path, aside, keep=5)
    path.write_bytes(b"new")
    put_back(path, aside)
    assert (path.read_bytes(), aside.read_bytes()) == (b"new", b"old")


ENDED = {"terminated": {"containerID": "containerd://one"}}
RUNNING = {"running": {}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("entry", "previous", "expected"),
    [
        ({"state": ENDED}, False, ("one", "0.log")),
        ({"state": ENDED, "restartCount": 2}, False, ("one", "2.log")),
        ({"state": RUNNING, "restartCount": 2}, False, ("", "")),
        ({"state": RUNNING, "lastState": ENDED, "restartCount": 2}, True, ("one", "1.log")),
        ({"state": WAITING, "lastState": ENDED, "restartCount": 2}, False, ("one", "1.log")),
        ({"state": ENDED}, True, ("", "")),
        ({}, False, ("", "")),
    ],
    ids=str,
)
def test_logs_of_what_the_runtime_has_forgotten(
    tmp_path: Path, entry: dict[str, object], previous: bool, expected: tuple[str, str]
) -> None:
    """The status tells which run of a container has ended, and so which file is its log."""
    config = KubeletConfig("n", "127.0.0.1", tmp_path, tmp_path)
    meta = {"name": "web", "namespace": "default", "uid": "u"}
    pod = {"metadata": meta, "status": {"containerStatuses": [{"name": "main", **entry}]}}
    id, path = kept_log(config, pod, "main", previous=previous)
    assert (id, path.rpartition("/")[2]) == expected
    assert not path or Path(path).parent == tmp_path / "default_web_u" / "main"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (b'{"metadata":{},"status":"Success"}', ""),
        (b'{"status":"Failure","message":"command terminated"}', "command terminated"),
        (b"not json", "not json"),
        (b"[]", "[]"),
        (b"", ""),
    ],
)
def test_the_end_in_words(status: bytes, words: str) -> None:
    """What the error channel carries before version 4."""
    assert failure_of(status) == words
