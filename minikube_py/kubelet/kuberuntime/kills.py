"""Kills: the stopping tasks of a pod that runs on, at most one for each of its containers."""

import asyncio
import logging
from collections.abc import Callable, Set

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.kuberuntime.stop import Stopper, Stopping
from minikube_py.kubelet.memory import PodMemory
from minikube_py.kubelet.plan import Kill
from minikube_py.kubelet.shared import Shared
from minikube_py.meta.objects import Obj, key_of
from minikube_py.runtime.base import RuntimeFailed

log = logging.getLogger(__name__)

RETRY = 2.0  # seconds


class Kills:
    """Containers that are being stopped; `ended` is called when one of them is, or could not be."""

    def __init__(self, shared: Shared, memory: PodMemory, tasks: Tasks, ended: Callable[[], None]) -> None:
        self._clock, self._memory, self._tasks, self._ended = shared.clock, memory, tasks, ended
        self._stopper = Stopper(shared)
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def ids(self) -> Set[str]:
        """The ids of the containers that are being stopped."""
        return self._running.keys()

    def begin(self, pod: Obj, kill: Kill) -> None:
        """Stop a container, unless that is under way."""
        id = kill.container.id
        if id not in self._running:
            self._running[id] = self._tasks.spawn(self._do(pod, kill), f"kill/{kill.container.name}")

    async def _do(self, pod: Obj, kill: Kill) -> None:
        if kill.at_once:
            self._memory.note_replaced(kill.container.name)
        elif kill.probe:
            self._memory.note_given_up(kill.container.id)
        try:
            how = Stopping(self._memory.grace(pod, kill), kill.message)
            await self._stopper.container(pod, kill.container, how)
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("%s: cannot stop container %s: %s", key_of(pod), kill.container.name, error)
            await self._clock.sleep(RETRY)
        finally:
            del self._running[kill.container.id]
            self._ended()
