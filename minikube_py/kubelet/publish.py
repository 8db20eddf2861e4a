"""StatusPublisher: one pod's status in the API, written only where it differs, one write at a time.

While a start is under way its intermediate states are held back for up to a second, so that an ordinary pod
costs one write; where many pods start at once, and each takes longer, for up to 5. What is held back longer,
or fails, is told. A write that fails is tried again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection

from minikube_py.aio.clock import Clock, within
from minikube_py.client.base import STRATEGIC_PATCH, Client
from minikube_py.errors import ApiError, Conflict, Invalid, NotFound
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.status import FINAL, status_patch
from minikube_py.meta.objects import Obj, key_of, revision_of, uid_of

log = logging.getLogger(__name__)

QUIET, EACH, LONGEST = 1.0, 0.25, 5.0
"""Seconds for which a start's intermediate states are held back: of one that is alone, more for each other pod
that starts meanwhile, and at most."""
RETRIES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds

FEW, EVENTS_PAUSE = 8, 0.2

Compute = Callable[[], tuple[Obj, Obj]]
"""The pod as known now, and its new status."""


def quiet_for(starting: int) -> float:
    """The seconds for which a start is not told of while `starting` pods start."""
    return min(LONGEST, QUIET + EACH * max(0, starting - 1))


def pause_for(starting: Collection[str]) -> float:
    """The seconds for which events are gathered: none but where many pods start, whose events are written
    together."""
    return EVENTS_PAUSE if len(starting) > FEW else 0.0


class StatusPublisher:
    """Writes the status that `compute` gives whenever `changed` was called. `means` are the client, the clock,
    and a set with a member for each pod of the node that is being started."""

    def __init__(
        self, means: tuple[Client, Clock, set[str]], compute: Compute, on_stored: Callable[[Obj], None]
    ) -> None:
        self._client, self._clock, self._starting = means
        self._compute, self._on_stored = compute, on_stored
        self._dirty = asyncio.Event()
        self._turn = asyncio.Lock()
        self._held: tuple[float, float] | None = None  # since when, and for how long at least
        self._released = asyncio.Event()

    def changed(self) -> None:
        """The status may have changed."""
        self._dirty.set()

    def hold(self) -> None:
        """A start begins: hold back what it goes through for a while."""
        self._held = self._clock.monotonic(), quiet_for(len(self._starting))
        self._released.clear()

    def release(self) -> None:
        """The start has ended, well or not."""
        self._held = None
        self._released.set()
        self._dirty.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._dirty.wait()
            while (left := self._quiet_left()) > 0:
                with contextlib.suppress(TimeoutError):
                    await within(self._clock, left, self._released.wait())
            self._dirty.clear()
            await self.publish()

    def _quiet_left(self) -> float:
        """The seconds for which the start under way is to be held back; more than was thought at its beginning
        where others have begun since."""
        if self._held is None:
            return 0.0
        since, longest = self._held
        longest = max(longest, quiet_for(len(self._starting)))
        self._held = since, longest
        return since + longest - self._clock.monotonic()

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
        except NotFound:
            return True  # the cache tells the worker
        except Conflict:  # another of its name is there, or too many write to this one
            known = self._client.cache.get(Pod, key_of(pod))
            return known is None or uid_of(known) != uid_of(pod)
        except Invalid as error:
            log.error("the API refuses the status of %s: %s", key_of(pod), error)
            return True
        except ApiError as error:
            log.warning("cannot write the status of %s: %s", key_of(pod), error)
            return False
        self._on_stored(stored)
        return True


_SHIFTING: Obj = {"resourceVersion": None, "managedFields": None}
"""What of the metadata every write changes."""


def is_echo(before: Obj, after: Obj, told: Obj) -> bool:
    """Whether a pod has changed by nothing but the status that its own worker has `told`, from which nothing
    follows: neither the pod's end nor the moment of its deadline."""
    if after.get("status") != told or told.get("phase") in FINAL:
        return False
    spec = after["spec"]
    if spec != before["spec"] or "activeDeadlineSeconds" in spec:
        return False
    return bool({**before["metadata"], **_SHIFTING} == {**after["metadata"], **_SHIFTING})


def newer(known: Obj, other: Obj) -> Obj:
    """The newer of two states of one pod."""
    return other if revision_of(other) > revision_of(known) else known
