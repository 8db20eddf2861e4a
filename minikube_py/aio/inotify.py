"""Folders that are watched for new, changed and removed entries, without polling (inotify(7)).

A change is told as the fact that something has changed, not what: whoever waits looks again. Changes between
two waits are told by the next.
"""

import asyncio
import ctypes
import os
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

IN_CLOSE_WRITE, IN_MOVED, IN_CREATE, IN_DELETE, IN_ATTRIB = 0x8, 0x40 | 0x80, 0x100, 0x200, 0x4
IN_ONLYDIR, IN_NONBLOCK, IN_CLOEXEC = 0x01000000, 0o4000, 0o2000000
EVENTS = IN_CLOSE_WRITE | IN_MOVED | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class FolderWatch:
    """Watches folders; use as an async context manager."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._descriptor = -1

    async def __aenter__(self) -> Self:
        self._descriptor = _libc().inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "cannot watch folders")
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def add(self, folder: Path) -> None:
        """Watch `folder` too; again is fine. Errors: OSError."""
        if _libc().inotify_add_watch(self._descriptor, os.fsencode(folder), EVENTS) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))

    async def change(self) -> None:
        """Wait until something has changed since the last wait."""
        await self._changed.wait()
        self._changed.clear()

    def _read(self) -> None:
        try:
            os.read(self._descriptor, 65536)
        except BlockingIOError:
            return
        self._changed.set()
