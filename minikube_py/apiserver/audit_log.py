"""The audit log's file: JSON lines, written and rotated in a thread, never readable for others (0600).

A file that has grown to `max_bytes` is renamed after the time (`audit-2026-01-01T00-00-00.000.log`) and a new
one begun; of the old ones the newest `max_files` are kept, none longer than `max_days`. A line is handed to
the system within milliseconds. Limits: where the disk is slower than the requests, lines above `CAPACITY` are
dropped, counted and told of in the server's own log.
"""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

CAPACITY = 20_000
"""Lines that may wait to be written."""


@dataclass(frozen=True, slots=True)
class AuditFile:
    """Where the log is, and how it is rotated."""

    path: Path
    max_bytes: int = 100 * 1024 * 1024
    max_files: int = 10
    max_days: int = 30


class AuditLog:
    """Writes lines; `run` must be running for them to arrive."""

    def __init__(self, file: AuditFile) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._wake = asyncio.Event()
        self._open: BinaryIO | None = None
        self._size = 0
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """Log one line (without its end); never waits."""
        if len(self._lines) >= CAPACITY:
            self.dropped += 1
            return
        self._lines.append(line)
        self._wake.set()

    async def run(self) -> None:
        """Write what is logged until cancelled, then what is left."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
        finally:
            self._write_all()
            self._close()

    async def _flush(self) -> None:
        before = self.dropped
        try:
            await asyncio.to_thread(self._write_all)
        except OSError as error:
            self.dropped += 1
            log.error("the audit log cannot be written: %s", error)
        if self.dropped > before:
            log.error("the audit log lacks %d events", self.dropped)

    # In the thread

    def _write_all(self) -> None:
        """Write every line there is. A cancelled wait leaves its thread at work: the lock keeps order."""
        with self._writing:
            while self._lines:
                line = self._lines.popleft() + b"\n"
                file = self._opened()
                if self._size and self._size + len(line) > self._file.max_bytes:
                    self._rotate()
                    file = self._opened()
                file.write(line)
                self._size += len(line)
            if self._open is not None:
                self._open.flush()

    def _opened(self) -> BinaryIO:
        if self._open is None:
            path = self._file.path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.fchmod(descriptor, 0o600)
            self._open = os.fdopen(descriptor, "ab")
            self._size = os.fstat(descriptor).st_size
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _rotate(self) -> None:
        self._close()
        path = self._file.path
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
        target, number = path.with_name(f"{path.stem}-{moment}{path.suffix}"), 0
        while target.exists():
            number += 1
            target = path.with_name(f"{path.stem}-{moment}.{number}{path.suffix}")
        path.rename(target)
        oldest = time.time() - self._file.max_days * 86400
        rotated = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"), key=_age, reverse=True)
        for place, found in enumerate(rotated):
            if place >= self._file.max_files or found.stat().st_mtime < oldest:
                found.unlink(missing_ok=True)


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name
