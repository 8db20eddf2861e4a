"""The kernel's out-of-memory kills of the whole machine, as events of the node (SystemOOM).

The kernel tells of them in /dev/kmsg; those within a container's own limit are the container's (OOMKilled), not
the node's. Where the log cannot be read there are no such events.
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

KMSG = Path("/dev/kmsg")
_KILL = re.compile(r"oom-kill:constraint=(\w+),.*\btask=(.*),pid=(\d+),")
RECORD = 8192
"""Bytes above any record of the kernel's log."""


def system_oom(record: str) -> str:
    """What the event says of a record of the kernel's log; empty where it tells of no such kill."""
    found = _KILL.search(record)
    if found is None or found[1] == "CONSTRAINT_MEMCG":
        return ""
    return f"System OOM encountered, victim process: {found[2]}, pid: {found[3]}"


class OomWatch:
    """Follows the kernel's log; `tell` gets each message."""

    def __init__(self, tell: Callable[[str], None], path: Path = KMSG) -> None:
        self._tell, self._path = tell, path

    async def run(self) -> None:
        """Follow until cancelled; what was logged before is not told."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            log.debug("no events of out-of-memory kills: %s", error)
            await asyncio.get_running_loop().create_future()
            return
        loop = asyncio.get_running_loop()
        try:
            if self._path == KMSG:
                os.lseek(file, 0, os.SEEK_END)
            loop.add_reader(file, self._read, file)
            await loop.create_future()
        finally:
            loop.remove_reader(file)
            os.close(file)

    def _read(self, file: int) -> None:
        while True:
            try:
                record = os.read(file, RECORD)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # records were overwritten before they were read: go on with the next one
            if not record:
                return
            if text := system_oom(record.decode(errors="replace")):
                self._tell(text)
