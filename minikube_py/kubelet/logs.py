"""Container logs in CRI's format: `<time> <stream> <P|F> <text>` per line, P for a part of a longer line.

Files are read in pieces between which the loop turns. Following looks at the file's size while somebody
follows, and goes over to the new file when the log is rotated.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from minikube_py.meta.objects import parse_time

PIECE = 64 * 1024
FOLLOW_INTERVAL = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted, as PodLogOptions. `tail` and `limit` None: everything."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit: int | None = None
    stream: str = ""  # Stdout, Stderr, or both


@dataclass(frozen=True, slots=True)
class Line:
    """One record. `text` ends with a newline unless the record is a part of a longer line."""

    time: bytes
    stream: bytes
    text: bytes


def parse_line(raw: bytes) -> Line | None:
    """The record that a line of the file stands for; None where it is none."""
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return None
    text = parts[3] if len(parts) > 3 else b""
    full = parts[2].split(b":")[0] == b"F"
    return Line(parts[0], parts[1], text + b"\n" if full else text)


def tail_offset(file: int, count: int) -> int:
    """Where the last `count` lines of the file begin. Reads from its end, in pieces."""
    end = os.fstat(file).st_size
    if count <= 0:
        return end
    position, seen = end, 0
    while position > 0:
        size = min(PIECE, position)
        position -= size
        piece = os.pread(file, size, position)
        at = len(piece) - 1 if position + size == end else len(piece)
        while (at := piece.rfind(b"\n", 0, at)) >= 0:
            seen += 1
            if seen == count:
                return position + at + 1
    return 0


def tail_text(path: Path, lines: int, limit: int) -> str:
    """The text of the last lines of a log, at most `limit` bytes; empty where there is no log."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        start = tail_offset(file, lines)
        raw = os.pread(file, 16 * limit, start)
    finally:
        os.close(file)
    records = (parse_line(line) for line in raw.splitlines(keepends=True))
    return b"".join(record.text for record in records if record)[-limit:].decode(errors="replace")


class _Filter:
    """Turns raw lines into output by the options; `done` once the byte limit is reached."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = options.since
        self._left = options.limit
        self._stream = options.stream.lower().encode() if options.stream in ("Stdout", "Stderr") else b""
        self.done = options.limit == 0

    def output(self, lines: list[bytes]) -> bytes:
        """The output for some lines of the file."""
        result = b"".join(self._texts(lines))
        if self._left is not None:
            result = result[: self._left]
            self._left -= len(result)
            self.done = self._left <= 0
        return result

    def _texts(self, lines: list[bytes]) -> Iterator[bytes]:
        for raw in lines:
            record = parse_line(raw)
            if record is None or (self._stream and record.stream != self._stream):
                continue
            if self._since is not None:
                if parse_time(_microseconds(record.time)) < self._since:
                    continue
                self._since = None
            yield record.time + b" " + record.text if self._options.timestamps else record.text


def _microseconds(time: bytes) -> str:
    """The time with at most six decimals, which is what Python reads."""
    text = time.decode()
    head, dot, rest = text.partition(".")
    if not dot:
        return text
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}"


async def read_log(path: Path, options: LogOptions, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's output in pieces; with `follow`, until the container no longer runs.
    Errors: FileNotFoundError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        position = tail_offset(file, options.tail) if options.tail is not None else 0
        chosen, rest = _Filter(options), b""
        while not chosen.done:
            alive = options.follow and is_running()  # asked before the read: what it wrote last is read too
            piece = os.pread(file, PIECE, position)
            if piece:
                position += len(piece)
                lines = (rest + piece).splitlines(keepends=True)
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                if output := chosen.output(lines):
                    yield output
                await asyncio.sleep(0)
                continue
            fresh = _rotated(path, file) if options.follow else None
            if fresh is not None:
                os.close(file)
                file, position, rest = fresh, 0, b""
                continue
            if not alive:
                break
            await asyncio.sleep(FOLLOW_INTERVAL)
    finally:
        os.close(file)


def _rotated(path: Path, file: int) -> int | None:
    """A descriptor of the new file if the log was rotated since `file` was opened."""
    try:
        if path.stat().st_ino == os.fstat(file).st_ino:
            return None
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
