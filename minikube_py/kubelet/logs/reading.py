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


def split_lines(data: bytes) -> list[bytes]:
    """The lines of `data` with their newlines; what follows the last newline comes last. A carriage return ends
    no line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


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


def why_no_log(path: str, id: str) -> str:
    """Why the log of a container (by its id) cannot be read, in a kubelet's words; empty where it is there."""
    if not path:
        return f"unable to retrieve container logs for containerd://{id}"
    if Path(path).is_file():
        return ""
    missing = next((place for place in [*reversed(Path(path).parents), Path(path)] if not place.exists()), path)
    return f'failed to try resolving symlinks in path "{path}": lstat {missing}: no such file or directory'


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
    records = map(parse_line, split_lines(raw))
    return b"".join(record.text for record in records if record)[-limit:].decode(errors="replace")


class _Filter:
    """Turns raw lines into output by the options; `done` once the byte limit is reached."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = options.since
        self._left = options.limit
        self._stream = options.stream.lower().encode() if options.stream in ("Stdout", "Stderr") else b""
        self._begins = True  # whether the next record begins a line, or goes on with one
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
            stamped = self._options.timestamps and self._begins
            yield _nanoseconds(record.time) + b" " + record.text if stamped else record.text
            self._begins = record.text.endswith(b"\n")


def _nanoseconds(time: bytes) -> bytes:
    """The time with nine decimals, as a kubelet prints it; the runtime leaves zeros at the end out."""
    head, dot, rest = time.partition(b".")
    if not dot:
        head, rest = time.rstrip(b"Z"), b"Z" if time.endswith(b"Z") else b""
    digits = len(rest) - len(rest.lstrip(b"0123456789"))
    return head + b"." + rest[:digits].ljust(9, b"0") + rest[digits:]


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
    fresh: int | None = None  # the file that follows this one, which is read to its end first
    try:
        position = tail_offset(file, options.tail) if options.tail is not None else 0
        chosen, rest = _Filter(options), b""
        while not chosen.done:
            alive = options.follow and is_running()  # asked before the read: what it wrote last is read too
            piece = os.pread(file, PIECE, position)
            if piece:
                position += len(piece)
                lines = split_lines(rest + piece)
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                if output := chosen.output(lines):
                    yield output
                await asyncio.sleep(0)
            elif fresh is not None:
                os.close(file)
                file, fresh, position, rest = fresh, None, 0, b""
            elif (fresh := _rotated(path, file) if options.follow else None) is None:
                if not alive:
                    break
                await asyncio.sleep(FOLLOW_INTERVAL)
    finally:
        os.close(file)
        if fresh is not None:
            os.close(fresh)


def _rotated(path: Path, file: int) -> int | None:
    """A descriptor of the new file if the log was rotated since `file` was opened."""
    try:
        if path.stat().st_ino == os.fstat(file).st_ino:
            return None
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
