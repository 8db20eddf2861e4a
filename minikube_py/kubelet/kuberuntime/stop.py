"""Stopping: containers with their preStop hooks within the grace period, sandboxes, and what remains.

Order as in Kubernetes: every preStop hook at once, then the containers, then sidecars in reverse order, each
once those before it have ended or the grace period is over, then the sandbox.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from minikube_py.aio.clock import within
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.kubelet.prober.handlers import Target
from minikube_py.kubelet.prober.hooks import run_hook
from minikube_py.kubelet.shared import Shared
from minikube_py.meta.objects import Obj, containers_of, uid_of
from minikube_py.runtime.base import Container, RuntimeFailed

log = logging.getLogger(__name__)

MIN_GRACE = 2.0  # seconds between the signals that every container has, however short its grace
RETRIES = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between attempts while the runtime fails


@dataclass(frozen=True, slots=True)
class Stopping:
    """How one container is stopped: within `grace` seconds, signalled only once all of `after` are set or
    the grace is over; `message` is the event that tells why."""

    grace: float
    message: str = ""
    after: Sequence[asyncio.Event] = ()


def grace_of(pod: Obj) -> float:
    """The grace period of a pod that is being stopped, at least 1 s (a forced deletion)."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if asked is None:
        asked = pod["spec"].get("terminationGracePeriodSeconds")
    return max(1.0, float(30 if asked is None else asked))


def turns(spec: Obj, running: Set[str]) -> dict[str, Set[str]]:
    """For each of the `running` containers, those that must have ended before it is signalled: a sidecar waits
    for all that are none and for the sidecars after it (KEP-753)."""
    sidecars = [c["name"] for c in spec.get("initContainers") or () if is_sidecar(c)]
    before = set(running) - set(sidecars)
    waits: dict[str, Set[str]] = {name: frozenset() for name in before}
    for name in reversed(sidecars):
        if name in running:
            waits[name] = frozenset(before)
            before.add(name)
    return waits


class Stopper:
    """Stops parts of pods."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def container(self, pod: Obj, container: Container, how: Stopping) -> None:
        """Stop one running container; returns once the view shows that it has ended.
        Errors: RuntimeFailed, TimeoutError."""
        shared = self._shared
        spec = next((c for c in containers_of(pod["spec"]) if c["name"] == container.name), None)
        grace = how.grace
        if spec is not None:
            tell = shared.teller(pod, spec)
            tell("Normal", "Killing", how.message or f"Stopping container {container.name}")
            if (hook := (spec.get("lifecycle") or {}).get("preStop")) and grace > 0:
                grace = await self._pre_stop(pod, container, spec, (hook, grace))
        if how.after and grace > 0:
            grace -= await self._turn(how.after, grace)
        await self._stop(container.id, max(MIN_GRACE, grace))

    async def _turn(self, after: Sequence[asyncio.Event], limit: float) -> int:
        """Wait for a container's turn, at most `limit` seconds; the whole seconds it took."""

        async def all_set() -> None:
            for event in after:
                await event.wait()

        begun = self._shared.clock.monotonic()
        try:
            await within(self._shared.clock, limit, all_set())
        except TimeoutError:
            return int(limit)
        return int(self._shared.clock.monotonic() - begun)

    async def _stop(self, id: str, grace: float) -> None:
        """Stop a container; an exit that is seen before the call returns (another stop was quicker) counts."""
        shared = self._shared
        async with Tasks("kubelet/stop") as tasks:
            call = tasks.spawn(_outcome(partial(shared.runtime.containers.stop, id, grace)), id[:12])
            ended = tasks.spawn(shared.view.ended(id), f"{id[:12]}/ended")
            await asyncio.wait((call, ended), return_when=asyncio.FIRST_COMPLETED)
            failure = call.result() if call.done() else None
        if failure is not None:
            raise failure
        if (known := shared.view.find(id)) is not None and known.state != "exited":
            await shared.view.refresh(id)

    async def _pre_stop(
        self, pod: Obj, container: Container, spec: Obj, hook_and_grace: tuple[Obj, float]
    ) -> float:
        """Run the hook within the grace period; the seconds that are left, none where it took them all."""
        shared = self._shared
        hook, grace = hook_and_grace
        sandbox = shared.view.of(uid_of(pod)).ready_sandbox()
        on_host = pod["spec"].get("hostNetwork")
        ips = (shared.config.node_ip,) if on_host else sandbox.ips if sandbox else ()
        target = Target(container.id, spec, next(iter(ips), ""), shared.runtime.streams, shared.clock)
        begun = shared.clock.monotonic()
        tell = shared.teller(pod, spec)
        if failure := await run_hook(hook, target, pod, grace, tell):
            log.info("%s: %s", uid_of(pod), failure)
            tell("Warning", "FailedPreStopHook", "PreStopHook failed")
        return grace - (shared.clock.monotonic() - begun)

    async def everything(self, pod: Obj, grace: float) -> None:
        """Stop all containers, then the sandboxes; tried again until the runtime has done it."""
        uid = uid_of(pod)
        begun = self._shared.clock.monotonic()
        while containers := self._live(uid):
            left = max(1.0, grace - (self._shared.clock.monotonic() - begun))
            waits = turns(pod["spec"], {container.name for container in containers})
            ended = {name: asyncio.Event() for name in waits}
            stops = []
            for container in containers:
                after = tuple(ended[name] for name in sorted(waits[container.name]))
                stops.append(self._end(pod, container, Stopping(left, after=after), ended))
            await asyncio.gather(*stops)
        for wait in _waits():
            if not await self._stop_sandboxes(uid):
                return
            await self._shared.clock.sleep(wait)

    async def hurry(self, uid: str, grace: float) -> None:
        """Stop every running container of a pod within `grace` seconds from now, whatever was asked before."""
        stop, grace = self._shared.runtime.containers.stop, max(MIN_GRACE, grace)
        running = [c.id for c in self._shared.view.of(uid).containers.values() if c.state == "running"]
        for failure in await asyncio.gather(*(_outcome(partial(stop, id, grace)) for id in running)):
            if failure is not None:
                log.warning("%s: cannot stop a container sooner: %s", uid, failure)

    def _live(self, uid: str) -> list[Container]:
        """The containers of a pod that have not ended, none twice by name."""
        states = ("running", "created", "unknown")
        runs = self._shared.view.of(uid).by_name().values()
        live = ([run for run in of_one if run.state in states] for of_one in runs)
        return [of_one[0] for of_one in live if of_one]

    async def _end(
        self, pod: Obj, container: Container, how: Stopping, ended: Mapping[str, asyncio.Event]
    ) -> None:
        """Stop a container for good; tried again until the runtime has done it."""
        begun = self._shared.clock.monotonic()
        for wait in _waits():
            left = max(1.0, how.grace - (self._shared.clock.monotonic() - begun))
            try:
                if container.state == "created":  # it never ran
                    await self.remove_container(container.id)
                else:
                    await self.container(pod, container, replace(how, grace=left))
                break
            except (RuntimeFailed, TimeoutError) as error:
                log.warning("%s: cannot stop a container: %s", uid_of(pod), error)
                await self._shared.clock.sleep(wait)
        ended[container.name].set()

    async def _stop_sandboxes(self, uid: str) -> list[str]:
        """Stop the ready sandboxes of a pod; the ids of those that still are."""
        left = []
        for sandbox in self._shared.view.of(uid).newest_sandboxes():
            if sandbox.state != "ready":
                continue
            try:
                await self.sandbox(sandbox.id)
            except (RuntimeFailed, TimeoutError) as error:
                log.warning("%s: cannot stop sandbox %s: %s", uid, sandbox.id, error)
                left.append(sandbox.id)
        return left

    async def sandbox(self, id: str) -> None:
        """Stop one sandbox. Errors: RuntimeFailed, TimeoutError."""
        view = self._shared.view
        await self._shared.runtime.sandboxes.stop(id)
        known = view.find_sandbox(id)
        if known is not None:
            view.record_sandbox(replace(known, state="notready"))

    async def remove_all(self, uid: str) -> None:
        """Remove all containers and sandboxes of a pod; tried again until the runtime has done it."""
        for wait in _waits():
            pod = self._shared.view.of(uid)
            results = await asyncio.gather(
                *(self._remove_sandbox(id) for id in list(pod.sandboxes)), return_exceptions=True
            )
            orphans = [c.id for c in pod.containers.values() if c.sandbox_id not in pod.sandboxes]
            results += await asyncio.gather(
                *(self.remove_container(id) for id in orphans), return_exceptions=True
            )
            failures = [result for result in results if isinstance(result, BaseException)]
            if not failures:
                return
            log.warning("%s: cannot remove what is left: %s", uid, failures[0])
            await self._shared.clock.sleep(wait)

    async def _remove_sandbox(self, id: str) -> None:
        view = self._shared.view
        await self._shared.runtime.sandboxes.remove(id)
        known = view.find_sandbox(id)
        for container in list(view.of(known.uid if known else "").containers.values()):
            if container.sandbox_id == id:
                view.forget(container.id)
        view.forget(id)

    async def remove_container(self, id: str) -> None:
        """Remove one dead container. Errors: RuntimeFailed, TimeoutError."""
        await self._shared.runtime.containers.remove(id)
        self._shared.view.forget(id)

    async def clear_unstarted(self, uid: str, name: str) -> Container | None:
        """Remove the newest container of this name where it was made and never started, which takes no attempt;
        the container where it runs after all, or did. Errors: RuntimeFailed, TimeoutError."""
        runs = self._shared.view.of(uid).by_name().get(name)
        if not runs or runs[0].state != "created":
            return None
        found = await self._shared.view.refresh(runs[0].id)
        if found is not None and found.state == "created":
            await self.remove_container(found.id)
        return found if found is not None and found.state != "created" else None

    async def prune(self, uid: str) -> None:
        """Remove dead containers but the newest two of each name, and sandboxes that hold none of those."""
        pod = self._shared.view.of(uid)
        kept = {sandbox.id for sandbox in pod.newest_sandboxes()[:1]}
        for runs in pod.by_name().values():
            kept |= {run.sandbox_id for run in runs[:2]}
            for run in runs[2:]:
                if run.state != "running":
                    await self.remove_container(run.id)
                    _remove_logs(run.log_path)
        for sandbox in pod.newest_sandboxes()[1:]:
            if sandbox.id not in kept and sandbox.state != "ready":
                await self._remove_sandbox(sandbox.id)


async def _outcome(work: Callable[[], Awaitable[None]]) -> Exception | None:
    """The error of `work` as a value."""
    try:
        await work()
    except (RuntimeFailed, TimeoutError) as error:
        return error
    return None


def _remove_logs(path: str) -> None:
    file = Path(path)
    for log_file in file.parent.glob(f"{file.name}*") if path else ():
        log_file.unlink(missing_ok=True)


def _waits() -> Iterator[float]:
    yield from RETRIES
    while True:
        yield RETRIES[-1]
