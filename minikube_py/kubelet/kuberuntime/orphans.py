"""What is left on the node of pods that the API no longer has: stopped and removed.

A pod of the runtime without a worker is an orphan only if it is one at two looks in a row, so that a cache
that has not caught up never costs a container. Removals go on beside the looks: one whose shim hangs holds up
nothing else.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.kuberuntime.stop import Stopper
from minikube_py.kubelet.pod_volumes import remove_pod_dir
from minikube_py.kubelet.shared import Shared
from minikube_py.runtime.base import RuntimeFailed

log = logging.getLogger(__name__)

ENDING = 0.2  # seconds that killed processes have to be gone
GRACE = 1.0  # seconds for containers of a pod that is known no more, as after a forced deletion


class Orphans:
    """Finds and removes them, in `tasks`; `known` gives the uids of pods that have a worker."""

    def __init__(self, shared: Shared, known: Callable[[], Collection[str]], tasks: Tasks) -> None:
        self._shared, self._known, self._tasks = shared, known, tasks
        self._suspects: set[str] = set()
        self._going: set[str] = set()

    async def remove(self) -> bool:
        """One look: begin to remove what was suspect before and still is. Whether another look is due soon, as
        there is what was not suspect before."""
        present = set(self._shared.view.uids()) | await asyncio.to_thread(self._traces)
        found = {uid for uid in present if uid and uid not in self._known()}
        for uid in sorted((found & self._suspects) - self._going):
            self._going.add(uid)
            self._tasks.spawn(self._remove(uid), f"orphan/{uid}")
        fresh = found - self._suspects
        self._suspects = found
        return bool(fresh)

    def _traces(self) -> set[str]:
        """The uids of the pods that have a directory, logs or a cgroup."""
        config = self._shared.config
        found = {entry.name for entry in _entries(config.root_dir / "pods")}
        found |= {entry.name.rpartition("_")[2] for entry in _entries(config.log_dir)}
        return found | self._shared.cgroups.uids()

    def _remove_traces(self, uid: str) -> bool:
        """Remove logs and cgroups; whether nothing had to be killed for it."""
        for logs in self._shared.config.log_dir.glob(f"*_{uid}"):
            shutil.rmtree(logs, ignore_errors=True)
        if self._shared.cgroups.remove(uid):
            return True
        if killed := self._shared.cgroups.end(uid):
            log.warning("killed %d processes that were left of pod %s", killed, uid)
        return not killed

    async def _remove(self, uid: str) -> None:
        shared = self._shared
        log.info("removing what is left of pod %s", uid)
        try:
            running = [c for c in shared.view.of(uid).containers.values() if c.state == "running"]
            await asyncio.gather(*(shared.runtime.containers.stop(c.id, GRACE) for c in running))
            for sandbox in shared.view.of(uid).newest_sandboxes():
                await shared.runtime.sandboxes.stop(sandbox.id)
            await Stopper(shared).remove_all(uid)
            await remove_pod_dir(shared.storage, uid)
            while not await asyncio.to_thread(self._remove_traces, uid):
                await shared.clock.sleep(ENDING)
        except (RuntimeFailed, TimeoutError, OSError) as error:
            log.warning("cannot remove what is left of pod %s yet: %s", uid, error)
        finally:
            self._going.discard(uid)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
