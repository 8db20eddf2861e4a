"""Resizer: one pod's in-place resize, from the new spec to cgroups and containers that follow it.

The pod's cgroup grows before its containers do and shrinks after them. What the node has no room for waits
until another pod has gone; what failed is tried again. A restarted kubelet takes what is applied from the
status.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from minikube_py.aio.tasks import Tasks
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.pod import BY_NODE, Pod
from minikube_py.kubelet.admission.admission import Load
from minikube_py.kubelet.cm import resize
from minikube_py.kubelet.cm.qos import container_resources
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.status import FINAL
from minikube_py.meta.objects import Key, Obj, dig, uid_of
from minikube_py.runtime.base import Container, RuntimeFailed

log = logging.getLogger(__name__)

RETRY = 5.0  # seconds after a failed step

Running = Mapping[str, tuple[Container, Obj]]


class Resizer:
    """What one pod is allocated. `wake` has the pod's worker plan again."""

    def __init__(self, shared: Shared, pod: Obj, tasks: Tasks, wake: Callable[[], None]) -> None:
        self._shared, self._tasks, self._wake = shared, tasks, wake
        self._allocated: Mapping[str, Obj] = resize.told(pod)
        self._before: Mapping[str, Obj] = self._allocated
        self._applied: dict[str, Obj] = {}  # by container id
        self._pending: resize.Refusal | None = None
        self._progress: str | None = None
        self._generation = [0, 0]
        self._grown = False
        self._task: asyncio.Task[None] | None = None

    @property
    def deferred(self) -> bool:
        """Whether the pod waits for room on the node."""
        return self._pending is not None and self._pending.reason == "Deferred"

    def effective(self, pod: Obj) -> Obj:
        """The pod with what it is allocated."""
        return resize.with_resources(pod, self._allocated)

    def roomy(self, pod: Obj) -> Obj:
        """The pod with what its cgroup must allow: during a resize the larger of what was and what will be."""
        if self._progress is None:
            return self.effective(pod)
        return resize.with_resources(pod, resize.larger(self._before, self._allocated))

    def conditions(self) -> list[Obj]:
        """The pod's conditions about resizes."""
        return resize.conditions(self._pending, self._progress, (self._generation[0], self._generation[1]))

    @property
    def allocated(self) -> Mapping[str, Obj]:
        return self._allocated

    def applied(self, id: str) -> Obj | None:
        """The resources of a running container; None where they are as allocated."""
        return self._applied.get(id)

    def note_started(self, spec: Obj, container: Container) -> None:
        """A container was started with the resources of `spec`."""
        self._applied[container.id] = spec.get("resources") or {}

    def step(self, pod: Obj, running: Running) -> frozenset[str]:
        """Decide and begin what is due; the ids of the containers that are to be restarted for it."""
        wanted = resize.asked(pod)
        if self._progress is None and self._pending is None and wanted == self._allocated:
            return frozenset()
        self._decide(pod, wanted)
        if self._progress is None or self._task is not None:
            return frozenset()
        due = {
            id: (c, s, self._action(id, s)) for id, (c, s) in running.items() if s["name"] in self._allocated
        }
        if not self._grown:
            self._begin(self._grow(pod))
            return frozenset()
        if updates := [(c, s) for c, s, how in due.values() if how == "update"]:
            self._begin(self._update(self.effective(pod), updates))
        elif not any(how for _, _, how in due.values()):
            self._begin(self._settle(pod, running))
        return frozenset(id for id, (_, _, how) in due.items() if how == "restart")

    def _action(self, id: str, spec: Obj) -> str:
        name = spec["name"]
        return resize.action(spec, self._applied.get(id, self._before.get(name, {})), self._allocated[name])

    def _decide(self, pod: Obj, wanted: Mapping[str, Obj]) -> None:
        if all(resize.same(wanted[name], self._allocated.get(name, {})) for name in wanted):
            self._pending = None
            return
        refusal = resize.judge(pod, self._node(), self._others(pod))
        if refusal is None:
            self._before, self._allocated = self._allocated, wanted
            self._pending, self._progress, self._grown = None, "", False
            self._generation[1] = dig(pod, "metadata.generation", 0)
            self._tell(pod, "Normal", "ResizeStarted", resize.message("Pod resize started", pod))
        elif refusal != self._pending:
            self._pending = refusal
            self._generation[0] = dig(pod, "metadata.generation", 0)
            text = resize.message(f"Pod resize {refusal.reason}", pod, refusal.message)
            self._tell(pod, "Warning", f"Resize{refusal.reason}", text)

    def _node(self) -> Obj:
        known = self._shared.client.cache.get(Node, Key("", self._shared.config.node_name))
        return known or {"status": {"allocatable": dict(self._shared.allocatable)}}

    def _others(self, pod: Obj) -> Load:
        load, node = Load(), self._shared.config.node_name
        for other in self._shared.client.cache.indexed(Pod, BY_NODE, node):
            if dig(other, "status.phase") not in FINAL and uid_of(other) != uid_of(pod):
                load.put(resize.with_resources(other, resize.told(other)))
        return load

    def _tell(self, pod: Obj, type: str, reason: str, message: str) -> None:
        self._shared.recorder.record(pod, type, reason, message)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._tasks.spawn(self._run(work), "resize")

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._task = None
            self._wake()

    async def _grow(self, pod: Obj) -> None:
        await asyncio.to_thread(self._shared.cgroups.make, self.roomy(pod))
        self._grown = True

    async def _update(self, pod: Obj, containers: list[tuple[Container, Obj]]) -> None:
        shared = self._shared
        try:
            used = {s.container_id: s.memory_working_set for s in await shared.runtime.monitor.stats()}
            for container, spec in containers:
                resources = self._allocated[spec["name"]]
                limits = container_resources(
                    pod, {**spec, "resources": resources}, shared.memory, shared.host_limits
                )
                if fault := resize.memory_fault(spec["name"], limits.memory, used.get(container.id, 0)):
                    raise RuntimeFailed(fault)
                await shared.runtime.monitor.update_resources(container.id, limits)
                self._applied[container.id] = resources
                await shared.view.refresh(container.id)
            self._progress = ""
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("%s: cannot resize: %s", uid_of(pod), error)
            if self._progress != str(error):
                self._progress = str(error)
                self._tell(pod, "Warning", "ResizeError", resize.message("Pod resize error", pod, str(error)))
            self._wake()
            await shared.clock.sleep(RETRY)

    async def _settle(self, pod: Obj, running: Running) -> None:
        await asyncio.to_thread(self._shared.cgroups.make, self.effective(pod))
        self._before, self._progress = self._allocated, None
        self._applied = {id: resources for id, resources in self._applied.items() if id in running}
        done = self.effective(pod)
        self._tell(pod, "Normal", "ResizeCompleted", resize.message("Pod resize completed", done))
