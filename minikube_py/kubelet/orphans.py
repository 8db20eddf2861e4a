"""What is left on the node of pods that the API no longer has: stopped and removed.

A pod of the runtime without a worker is an orphan only if it is one at two looks in a row, so that a cache
that has not caught up never costs a container.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from minikube_py.kubelet.pod_volumes import remove_pod_dir
from minikube_py.kubelet.sandbox import GRACE
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.stop import Stopper
from minikube_py.runtime.base import Container, RuntimeFailed

log = logging.getLogger(__name__)


class Orphans:
    """Finds and removes them; `known` gives the uids of pods that have a worker."""

    def __init__(self, shared: Shared, known: Callable[[], Collection[str]]) -> None:
        self._shared, self._known = shared, known
        self._suspects: set[str] = set()

    async def remove(self) -> None:
        """One look: remove what was suspect before and still is."""
        present = set(self._shared.view.uids()) | await asyncio.to_thread(self._directories)
        found = {uid for uid in present if uid and uid not in self._known()}
        for uid in found & self._suspects:
            await self._remove(uid)
        self._suspects = found

    def _directories(self) -> set[str]:
        pods = self._shared.config.root_dir / "pods"
        return {entry.name for entry in pods.iterdir()} if pods.is_dir() else set()

    async def _remove(self, uid: str) -> None:
        shared = self._shared
        log.info("removing what is left of pod %s", uid)
        try:
            running = [c for c in shared.view.of(uid).containers.values() if c.state == "running"]
            await asyncio.gather(*(shared.runtime.containers.stop(c.id, _grace(c)) for c in running))
            for sandbox in shared.view.of(uid).newest_sandboxes():
                await shared.runtime.sandboxes.stop(sandbox.id)
            await Stopper(shared).remove_all(uid)
            await remove_pod_dir(shared.config, uid)
            await asyncio.to_thread(shared.cgroups.remove, uid)
        except (RuntimeFailed, TimeoutError, OSError) as error:
            log.warning("cannot remove what is left of pod %s yet: %s", uid, error)


def _grace(container: Container) -> float:
    asked = container.annotations.get(GRACE, "30")
    return max(2.0, float(asked)) if asked.isdigit() else 30.0
