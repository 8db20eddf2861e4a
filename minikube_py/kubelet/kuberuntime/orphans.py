"""What is left on the node of pods that the API no longer has: stopped and removed.

A pod of the runtime without a worker is an orphan only if it is one at two looks in a row, so that a cache
that has not caught up never costs a container.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from minikube_py.kubelet.kuberuntime.sandbox import GRACE
from minikube_py.kubelet.kuberuntime.stop import Stopper
from minikube_py.kubelet.pod_volumes import remove_pod_dir
from minikube_py.kubelet.shared import Shared
from minikube_py.runtime.base import Container, RuntimeFailed

log = logging.getLogger(__name__)


class Orphans:
    """Finds and removes them; `known` gives the uids of pods that have a worker."""

    def __init__(self, shared: Shared, known: Callable[[], Collection[str]]) -> None:
        self._shared, self._known = shared, known
        self._suspects: set[str] = set()

    async def remove(self) -> None:
        """One look: remove what was suspect before and still is."""
        present = set(self._shared.view.uids()) | await asyncio.to_thread(self._traces)
        found = {uid for uid in present if uid and uid not in self._known()}
        for uid in found & self._suspects:
            await self._remove(uid)
        self._suspects = found

    def _traces(self) -> set[str]:
        """The uids of the pods that have a directory, logs or a cgroup."""
        config = self._shared.config
        found = {entry.name for entry in _entries(config.root_dir / "pods")}
        found |= {entry.name.rpartition("_")[2] for entry in _entries(config.log_dir)}
        return found | self._shared.cgroups.uids()

    def _remove_traces(self, uid: str) -> None:
        for logs in self._shared.config.log_dir.glob(f"*_{uid}"):
            shutil.rmtree(logs, ignore_errors=True)
        self._shared.cgroups.remove(uid)

    async def _remove(self, uid: str) -> None:
        shared = self._shared
        log.info("removing what is left of pod %s", uid)
        try:
            running = [c for c in shared.view.of(uid).containers.values() if c.state == "running"]
            await asyncio.gather(*(shared.runtime.containers.stop(c.id, _grace(c)) for c in running))
            for sandbox in shared.view.of(uid).newest_sandboxes():
                await shared.runtime.sandboxes.stop(sandbox.id)
            await Stopper(shared).remove_all(uid)
            await remove_pod_dir(shared.storage, uid)
            await asyncio.to_thread(self._remove_traces, uid)
        except (RuntimeFailed, TimeoutError, OSError) as error:
            log.warning("cannot remove what is left of pod %s yet: %s", uid, error)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _grace(container: Container) -> float:
    asked = container.annotations.get(GRACE, "30")
    return max(2.0, float(asked)) if asked.isdigit() else 30.0
