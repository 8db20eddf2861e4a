"""StatusPublisher: one pod's status in the API, written only where it differs, one write at a time.

While a start is under way its intermediate states are held back for up to a second, so that an ordinary pod
costs one write; what is held back longer, or fails, is told. A write that fails is tried again.
"""

import asyncio
import logging
from collections.abc import Callable

from minikube_py.aio.clock import Clock, within
from minikube_py.client.base import STRATEGIC_PATCH, Client
from minikube_py.errors import ApiError, Conflict, Invalid, NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.status import status_patch
from minikube_py.meta.objects import Obj, key_of, revision_of, uid_of

log = logging.getLogger(__name__)

QUIET = 1.0  # seconds for which a start's intermediate states are held back
RETRIES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds

Compute = Callable[[], tuple[Obj, Obj]]
"""The pod as known now, and its new status."""


class StatusPublisher:
    """Writes the status that `compute` gives whenever `changed` was called."""

    def __init__(
        self, client: Client, clock: Clock, compute: Compute, on_stored: Callable[[Obj], None]
    ) -> None:
        self._client, self._clock = client, clock
        self._compute, self._on_stored = compute, on_stored
        self._dirty = asyncio.Event()
        self._turn = asyncio.Lock()
        self._held_until = 0.0
        self._released = asyncio.Event()

    def changed(self) -> None:
        """The status may have changed."""
        self._dirty.set()

    def hold(self) -> None:
        """A start begins: hold back what it goes through for a second."""
        self._held_until = self._clock.monotonic() + QUIET
        self._released.clear()

    def release(self) -> None:
        """The start has ended, well or not."""
        self._held_until = 0.0
        self._released.set()
        self._dirty.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._clock.monotonic() < self._held_until:
                await self._wait_for_release()
            await self.publish()

    async def _wait_for_release(self) -> None:
        """Wait for the start's end, at most as long as it may be held back."""
        try:
            await within(self._clock, self._held_until - self._clock.monotonic(), self._released.wait())
        except TimeoutError:
            return

    async def publish(self) -> None:
        """Write the status as it is now, unless the API has it already; returns once it is stored."""
        async with self._turn:
            attempt = 0
            while not await self._write():
                await self._clock.sleep(RETRIES[min(attempt, len(RETRIES) - 1)])
                attempt += 1

    async def _write(self) -> bool:
        """Whether the API has the status, or will never want it."""
        pod, status = self._compute()
        patch = status_patch(pod.get("status") or {}, status)
        if not patch:
            return True
        body = {"metadata": {"uid": uid_of(pod)}, "status": patch}
        try:
            stored = await self._client.patch(
                Pod, key_of(pod), body, type=STRATEGIC_PATCH, subresource="status"
            )
        except (NotFound, Conflict):
            return True  # the pod is gone, or another of its name is there; the cache tells the worker
        except Invalid as error:
            log.error("the API refuses the status of %s: %s", key_of(pod), error)
            return True
        except ApiError as error:
            log.warning("cannot write the status of %s: %s", key_of(pod), error)
            return False
        self._on_stored(stored)
        return True


def newer(known: Obj, other: Obj) -> Obj:
    """The newer of two states of one pod."""
    return other if revision_of(other) > revision_of(known) else known
