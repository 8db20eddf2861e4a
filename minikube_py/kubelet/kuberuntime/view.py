"""RuntimeView: what the runtime holds of each pod, in memory, kept true by events and a slow relist.

What a worker has just done is recorded at once, so a plan never waits for the runtime to confirm it; a list
that was asked for before that is not believed on it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from minikube_py.runtime.base import Container, Runtime, RuntimeEvent, RuntimeFailed, RuntimeNotFound, Sandbox

log = logging.getLogger(__name__)

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

CANCELLED = "context canceled"
SAME_MOMENT = 2.0  # seconds by which our note of a start may differ from the runtime's


def was_cut_off(container: Container) -> bool:
    """Whether a container never ran because whoever started it was killed meanwhile: containerd then gives the
    start up. It is as one that was made and never started."""
    cancelled = container.reason == "StartError" and CANCELLED in container.message
    return container.state == "exited" and cancelled


def as_ended(container: Container, event: RuntimeEvent) -> Container:
    """A running container as the runtime will tell it once it knows of its end."""
    reason = container.reason or ("Completed" if event.exit_code == 0 else "Error")
    code, moment = event.exit_code, event.finished_at
    return replace(container, state="exited", exit_code=code, finished_at=moment, reason=reason)


@dataclass(slots=True)
class PodRuntime:
    """Sandboxes and containers of one pod, by id."""

    sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)

    def newest_sandboxes(self) -> list[Sandbox]:
        """The sandboxes, the newest first."""
        return sorted(self.sandboxes.values(), key=lambda s: (s.attempt, s.created_at), reverse=True)

    def by_name(self) -> dict[str, list[Container]]:
        """The containers by name, the newest of each first."""
        result: dict[str, list[Container]] = {}
        for container in sorted(
            self.containers.values(), key=lambda c: (c.created_at, c.attempt), reverse=True
        ):
            result.setdefault(container.name, []).append(container)
        return result

    def ready_sandbox(self) -> Sandbox | None:
        """The newest sandbox, if it is ready."""
        newest = next(iter(self.newest_sandboxes()), None)
        return newest if newest is not None and newest.state == "ready" else None


class RuntimeView:
    """Pods of the runtime by uid; `on_change(uid)` is called when something has changed from outside."""

    def __init__(self, runtime: Runtime, on_change: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._on_change = on_change
        self._pods: dict[str, PodRuntime] = {}
        self._uids: dict[str, str] = {}  # id of a container or sandbox > uid of its pod
        self._stamps: dict[str, int] = {}
        self._clock = 0
        self._ends: dict[str, asyncio.Event] = {}

    def of(self, uid: str) -> PodRuntime:
        """What is known of a pod; empty where the runtime holds nothing of it."""
        return self._pods.get(uid) or PodRuntime()

    def uids(self) -> Iterable[str]:
        """The uids of all pods of which the runtime holds something."""
        return [uid for uid, pod in self._pods.items() if pod.sandboxes or pod.containers]

    def find(self, id: str) -> Container | None:
        """A container by its id."""
        return self.of(self._uids.get(id, "")).containers.get(id)

    def find_sandbox(self, id: str) -> Sandbox | None:
        """A sandbox by its id."""
        return self.of(self._uids.get(id, "")).sandboxes.get(id)

    def record_sandbox(self, sandbox: Sandbox) -> None:
        """Note a sandbox as it stands now."""
        self._note(sandbox.id, sandbox.uid)
        self._pods.setdefault(sandbox.uid, PodRuntime()).sandboxes[sandbox.id] = sandbox

    def record_container(self, container: Container) -> None:
        """Note a container as it stands now. What has ended stays so: an answer may be older than that."""
        known = self.find(container.id)
        if known is not None and known.state == "exited" and container.state != "exited":
            return
        uid = container.labels.get(POD_UID, "")
        self._note(container.id, uid)
        self._pods.setdefault(uid, PodRuntime()).containers[container.id] = container
        if container.state == "exited" and (end := self._ends.get(container.id)):
            end.set()

    def forget(self, id: str) -> None:
        """Note that a container or sandbox is gone."""
        self._clock += 1
        uid = self._uids.pop(id, "")
        self._stamps.pop(id, None)
        if end := self._ends.pop(id, None):
            end.set()
        pod = self._pods.get(uid)
        if pod is None:
            return
        pod.sandboxes.pop(id, None)
        pod.containers.pop(id, None)
        if not pod.sandboxes and not pod.containers:
            del self._pods[uid]

    def _note(self, id: str, uid: str) -> None:
        self._clock += 1
        self._stamps[id] = self._clock
        self._uids[id] = uid

    async def ended(self, id: str) -> None:
        """Wait until a container is known to have exited, or to be gone."""
        while (container := self.find(id)) is not None and container.state != "exited":
            await self._ends.setdefault(id, asyncio.Event()).wait()
            self._ends.pop(id, None)

    async def refresh(self, id: str) -> Container | None:
        """Ask the runtime for one container; None if it is gone. Errors: RuntimeFailed."""
        before = self.find(id)
        try:
            status = await self._runtime.containers.status(id)
        except RuntimeNotFound:
            self.forget(id)
            return None
        if was_cut_off(status):
            status = replace(status, state="created")
        known = self.find(id)
        if before is not None and known is None:
            return None  # it was removed meanwhile
        if known is not None:
            moved = abs(known.started_at - status.started_at) < SAME_MOMENT
            status = replace(
                status,
                sandbox_id=status.sandbox_id or known.sandbox_id,
                started_at=known.started_at if known.started_at and moved else status.started_at,
            )
        self.record_container(status)
        return self.find(id)

    async def refresh_sandbox(self, id: str) -> Sandbox | None:
        """Ask the runtime for one sandbox; None if it is gone. Errors: RuntimeFailed."""
        before = id in self._uids
        try:
            status = await self._runtime.sandboxes.status(id)
        except RuntimeNotFound:
            self.forget(id)
            return None
        if before and id not in self._uids:
            return None  # it was removed meanwhile
        self.record_sandbox(status)
        return status

    async def handle(self, event: RuntimeEvent) -> None:
        """Take in one event of the runtime."""
        uid = self._uids.get(event.container_id)
        if uid is None:
            return  # not of a pod, or its creator has not recorded it yet and will ask itself
        if event.type == "started":
            return  # our own doing, recorded by the worker
        known = self.of(uid)
        sandbox, container = known.sandboxes.get(event.container_id), known.containers.get(event.container_id)
        if event.type == "ended":
            if container is not None and container.state == "running":
                self.record_container(as_ended(container, event))
                self._on_change(uid)
            return  # of all else the exit tells
        told = container is not None and container.state == "exited" and event.type == "exited"
        try:
            if container is not None and not told:
                await self.refresh(event.container_id)
            if sandbox is not None and sandbox.state == "ready" and event.type != "oom":
                await self.refresh_sandbox(event.container_id)
        except RuntimeFailed as error:
            log.warning("cannot take in %s of %s: %s", event.type, event.container_id, error)
        self._on_change(uid)

    async def relist(self) -> None:
        """Compare everything with the runtime's lists; tell of each pod that differs."""
        asked = self._clock
        sandboxes = await self._runtime.sandboxes.list()
        containers = await self._runtime.containers.list()
        changed = await self._compare(asked, sandboxes, containers)
        for uid in changed:
            self._on_change(uid)

    async def _compare(
        self, asked: int, sandboxes: Sequence[Sandbox], containers: Sequence[Container]
    ) -> set[str]:
        changed: set[str] = set()
        listed = {item.id for item in sandboxes} | {item.id for item in containers}
        for id, uid in list(self._uids.items()):
            if id not in listed and self._stamps.get(id, 0) <= asked:
                self.forget(id)
                changed.add(uid)
        for sandbox in sandboxes:
            known = self.of(sandbox.uid).sandboxes.get(sandbox.id)
            if self._stamps.get(sandbox.id, 0) > asked or (known and known.state == sandbox.state):
                continue
            if await self.refresh_sandbox(sandbox.id) is not None:
                changed.add(sandbox.uid)
        for container in containers:
            seen = self.find(container.id)
            if self._stamps.get(container.id, 0) > asked or (seen and seen.state == container.state):
                continue
            if not container.labels.get(POD_UID):
                continue
            if seen is None:
                self.record_container(container)
            if await self.refresh(container.id) is not None:
                changed.add(container.labels[POD_UID])
        return changed
