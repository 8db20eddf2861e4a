"""Evictor: keeps the node from running out of memory, disk and process ids, by ending pods one at a time.

Every ten seconds it reads the signals; nothing else is measured while no threshold is met. What the node can
give back without ending a pod (dead containers, unused images) goes first. After an eviction it waits until the
pod's containers are gone, half a minute at most, before it looks again. Limits: what is used up faster than it
looks is the kernel's to deal with.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from minikube_py.aio.clock import Clock
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.ranking import Look, PodUse, Thresholds, grace_for, message, rank
from minikube_py.kubelet.eviction.thresholds import Observations, Threshold
from minikube_py.meta.objects import key_of, uid_of
from minikube_py.runtime.base import RuntimeFailed

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds between looks
CLEANUP = 30.0  # seconds that an evicted pod has to be gone before the next one is looked for
CLEANUP_CHECK = 1.0
DISK = "DiskPressure"


@dataclass(frozen=True, slots=True)
class Node:
    """The rest of the kubelet, as the evictor needs it."""

    read: Callable[[], Observations]
    """Reads the signals; may block. Errors: OSError."""
    measure: Callable[[], Awaitable[Sequence[PodUse]]]
    """What each pod that runs uses. Errors: RuntimeFailed, TimeoutError."""
    reclaim: Callable[[str], Awaitable[None]]
    """Frees the disk of a signal without ending a pod."""
    evict: Callable[[str, str, float], None]
    """Ends a pod: its uid, the message, seconds of grace."""
    is_gone: Callable[[str], bool]
    """Whether nothing of a pod (uid) runs any more."""
    tell: Callable[[str, str, str], None]
    """Records an event about the node: type, reason, message."""
    changed: Callable[[], None]
    """The pressures have changed."""
    count: Callable[[str], None] = lambda signal: None
    """Counts an eviction by its signal."""


class Evictor:
    """See the module. `pressures` are the node's conditions that hold now."""

    def __init__(self, config: KubeletConfig, clock: Clock, node: Node) -> None:
        self._config, self._clock, self._node = config.eviction, clock, node
        self._thresholds = Thresholds(config.eviction)
        self.pressures: frozenset[str] = frozenset()

    async def look(self) -> tuple[Look, Observations]:
        """Read the signals and keep `pressures` true."""
        try:
            seen = await asyncio.to_thread(self._node.read)
        except OSError as error:
            log.warning("cannot read the node's eviction signals: %s", error)
            return Look(self.pressures), {}
        look = self._thresholds.look(seen, self._clock.monotonic())
        if look.pressures != self.pressures:
            self.pressures = look.pressures
            self._node.changed()
        return look, seen

    async def run(self) -> None:
        """Look every ten seconds until cancelled."""
        while True:
            evicted = await self.step()
            if evicted:
                await self._cleanup(evicted)
            else:
                await self._clock.sleep(INTERVAL)

    async def step(self) -> str:
        """One look, and what it asks for; the uid of the pod that was evicted, empty for none."""
        look, seen = await self.look()
        if not look.due:
            return ""
        first = look.due[0]
        self._node.tell("Warning", "EvictionThresholdMet", f"Attempting to reclaim {first.meaning.resource}")
        try:
            if first.meaning.condition == DISK:
                await self._node.reclaim(first.signal)
                look, seen = await self.look()
                if not look.due:
                    return ""
                first = look.due[0]
            uses = await self._node.measure()
        except (RuntimeFailed, TimeoutError, OSError) as error:
            log.warning("cannot reclaim %s: %s", first.meaning.resource, error)
            return ""
        return self._evict_first(first, seen, uses)

    def _evict_first(self, threshold: Threshold, seen: Observations, uses: Iterable[PodUse]) -> str:
        ranked = rank(threshold.meaning.resource, list(uses))
        if not ranked:
            log.warning("the node is low on %s, and no pod may be evicted", threshold.meaning.resource)
            return ""
        chosen = ranked[0]
        log.warning("evicting pod %s: the node is low on %s", key_of(chosen.pod), threshold.meaning.resource)
        text = message(threshold, seen, chosen)
        self._node.evict(uid_of(chosen.pod), text, grace_for(threshold, self._config))
        self._node.count(threshold.signal)
        return uid_of(chosen.pod)

    async def _cleanup(self, uid: str) -> None:
        end = self._clock.monotonic() + CLEANUP
        while not self._node.is_gone(uid) and self._clock.monotonic() < end:
            await self._clock.sleep(CLEANUP_CHECK)
