"""Tasks: an owner of named tasks in which one failure does not end its siblings.

`asyncio.TaskGroup` cancels all siblings on the first failure; a kubelet worker or a connection must not.
Leaving the block cancels what still runs and waits for it. A failure is logged with the task's name.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)


class Tasks:
    """Owns the tasks it spawned; use as an async context manager."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` as a task named `owner/name`; its failure is logged, never raised here."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s failed: %s", task.get_name(), error, exc_info=error)

    async def cancel(self) -> None:
        """Cancel every task and wait until all have ended."""
        while self._tasks:
            pending = tuple(self._tasks)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()


async def first_ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait until one of the tasks has ended. Errors: its own."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
