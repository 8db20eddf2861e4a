"""Sizes of a command's terminal: read from messages, and set one after another, however many come."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson

from minikube_py.aio.tasks import Tasks


class Resizing:
    """Gives a terminal the size asked for last: of those that come while one is being set, only the newest
    counts. Input waits for it."""

    def __init__(self, resize: Callable[[Mapping[str, int]], Awaitable[None]]) -> None:
        self._resize, self._tasks = resize, Tasks("resizing")
        self._wanted: dict[str, int] | None = None
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Resizing":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()

    def to(self, sizes: Sequence[dict[str, int]]) -> None:
        """The newest of `sizes` is wanted."""
        if not sizes:
            return
        self._wanted = sizes[-1]
        if self._working is None or self._working.done():
            self._working = self._tasks.spawn(self._work(), "resize")

    async def _work(self) -> None:
        while (size := self._wanted) is not None:
            self._wanted = None
            await self._resize(size)

    async def settled(self) -> None:
        """The terminal has the size that was asked for."""
        if self._working is not None and not self._working.done():
            await self._working


def sizes(data: bytes) -> list[dict[str, int]]:
    """The terminal sizes in a message, one JSON document or several; what is none is left out."""
    found = []
    for text in data.replace(b"}{", b"}\n{").splitlines():
        with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            size = orjson.loads(text)
            found.append({side: int(size[side]) & 0xFFFF for side in ("Width", "Height")})
    return found
