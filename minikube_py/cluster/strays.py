"""Strays: what a containerd that was killed in the middle of its work leaves behind for good, and its removal.

A bundle (with its shim and processes) that no container of containerd's database has is one that it gave up or
took down while its shim did not hear of it; a lease that is older than containerd's process is held by nobody.
Only a bundle that is unknown at two looks is removed. After a start all bundles are asked for, later only those
from which nothing runs, so that looks cost nothing where all is well.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from minikube_py.cluster import leftovers
from minikube_py.cluster.containerd_config import ContainerdConfig
from minikube_py.runtime.base import RuntimeFailed
from minikube_py.runtime.records import Records

log = logging.getLogger(__name__)

LOOKS = (3.0, 5.0, 10.0, 20.0)  # seconds before each of the first looks
LOOK = 20.0


def _looks() -> Iterator[tuple[float, bool]]:
    """The seconds before each look, and whether it is at all bundles."""
    return itertools.chain(((wait, True) for wait in LOOKS), itertools.repeat((LOOK, False)))


class Strays:
    """Removes the stray bundles of the containerd with this configuration."""

    def __init__(self, config: ContainerdConfig) -> None:
        self._config = config
        self._suspects: set[str] = set()
        self._idle: set[int] = set()  # the pids of shims without a bundle at the last look

    async def run(self) -> None:
        """Look until cancelled."""
        for wait, every in _looks():
            await asyncio.sleep(wait)
            try:
                await self.end_shims()
                await self.look(every=every)
            except (RuntimeFailed, TimeoutError, OSError, leftovers.LeftoversRemain) as error:
                log.warning("cannot look for stray shims: %s", error)

    async def end_shims(self) -> int:
        """End the shims that served nothing at the call before and still do: containerd has given up what they
        were started for, as its caller has, and their end too; how many. Errors: OSError."""
        where = self._config.socket, self._config.state
        idle = set(await asyncio.to_thread(leftovers.stray_shims, *where))
        suspects, self._idle = self._idle, idle
        if not (idle & suspects):
            return 0
        ended = await asyncio.to_thread(leftovers.end_stray_shims, *where, suspects)
        log.info("ended %d stray shims", ended)
        return ended

    async def look(self, *, every: bool = True) -> set[str]:
        """Remove the bundles that were unknown at the look before and still are; their ids. `every`: also those
        from which something runs. Errors: RuntimeFailed, TimeoutError, OSError, LeftoversRemain."""
        bundles = await asyncio.to_thread(self._bundles, every)
        unknown = set[str]()
        if bundles:
            async with Records(self._config.socket) as records:
                unknown = await records.unknown(bundles)
        strays = unknown & self._suspects
        self._suspects = unknown
        for id in strays:
            log.warning("removing the stray shim of %s", id)
            config = self._config
            await asyncio.to_thread(leftovers.remove_bundle, id, config.socket, config.folder, config.state)
        return strays

    def _bundles(self, every: bool) -> list[str]:
        folder = self._config.state / leftovers.SHIM_BUNDLES
        found = os.listdir(folder) if folder.is_dir() else []
        return [id for id in found if every or not leftovers.is_live(folder / id)]


async def drop_leases(socket: Path, before: float) -> None:
    """Drop the leases of the containerd at `socket` made before a moment (seconds since the epoch)."""
    try:
        async with Records(socket) as records:
            dropped = await records.drop_leases(before)
    except (RuntimeFailed, TimeoutError) as error:
        log.warning("cannot drop old leases: %s", error)
        return
    if dropped:
        log.info("dropped %d leases of an earlier containerd", dropped)
