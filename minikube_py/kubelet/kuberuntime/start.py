"""Starting a pod's sandbox and containers: the effect side, in as few steps one after another as possible.

Images, and volumes made of what is there, are made ready while the sandbox starts; all other volumes before it.
What was created is recorded in the view at once. A start that is not wanted any more is waited for, so that the
view knows what it made; one that takes long is cut off, and what containerd then leaves the relist finds.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.devicemanager.claiminfo import ClaimsUnprepared
from minikube_py.kubelet.devicemanager.poddevices import DevicesLacking
from minikube_py.kubelet.images.puller import ImageRefused, namespace_secrets
from minikube_py.kubelet.kuberuntime.containers import Parts, container_config
from minikube_py.kubelet.kuberuntime.environment import ConfigRefused, environment
from minikube_py.kubelet.kuberuntime.pace import Start
from minikube_py.kubelet.kuberuntime.sandbox import dns_warnings, hostname_fault, hosts_file, sandbox_config
from minikube_py.kubelet.kuberuntime.stop import Stopper, Stopping
from minikube_py.kubelet.pod_volumes import PodVolumes
from minikube_py.kubelet.prober.handlers import Target
from minikube_py.kubelet.prober.hooks import run_hook
from minikube_py.kubelet.shared import Shared
from minikube_py.meta.objects import Obj, uid_of
from minikube_py.runtime.base import Container, ContainerConfig, Image, RuntimeFailed, Sandbox, SandboxConfig

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]
Tell = Callable[[str, str, str], None]

CONFIG_RETRY = 10.0  # seconds until a container that could not be configured is tried again
CUT_OFF = 5.0
"""Seconds that a call to the runtime which is not wanted any more has to end by itself: what it made is known
then. One that takes longer is given up, as containerd then gives up what it is for."""
HOOK_LIMIT = 24 * 3600.0  # a postStart hook has no time limit of its own


class StartRefused(Exception):
    """A container was not started; reason and message are its waiting state. `retry_at` is when to try again
    (None: after the crash backoff)."""

    def __init__(self, reason: str, message: str, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_at = reason, message, retry_at


class HeldEvents:
    """Events of pulls that begin while the sandbox starts: they are told once it is there, or never."""

    def __init__(self) -> None:
        self._held: list[Callable[[], None]] | None = []

    def through(self, tell: Tell) -> Tell:
        """`tell`, held back."""

        def hold(type: str, reason: str, message: str) -> None:
            if self._held is None:
                tell(type, reason, message)
            else:
                self._held.append(partial(tell, type, reason, message))

        return hold

    def release(self) -> None:
        """Tell what was held, and all else at once."""
        held, self._held = self._held or [], None
        for event in held:
            event()


class Starter:
    """Starts one pod's parts."""

    def __init__(self, shared: Shared, volumes: PodVolumes, tasks: Tasks) -> None:
        self._shared, self._volumes, self._tasks = shared, volumes, tasks
        self._images: dict[str, asyncio.Task[Any]] = {}
        self.hooked: set[str] = set()
        """The id of the container whose postStart hook is not over, where there is one."""

    async def sandbox(self, pod: Obj, attempt: int, first: Sequence[Obj]) -> Sandbox:
        """A new sandbox, with its volumes made and the images of the containers `first` on their way.
        Errors: RuntimeFailed, TimeoutError, VolumeFailed."""
        await self.finish(partial(asyncio.to_thread, self._make_room, pod), "room")
        if not self._volumes.are_at_hand():
            await self._volumes.prepare()  # what is not there yet holds back the sandbox, and pulls
        config = await self._sandbox_config(pod, attempt)
        events = HeldEvents()
        for container in first:
            self._prefetch(pod, container, events)
        volumes = self._tasks.spawn(_answer(self._volumes.prepare), "volumes")
        for warning in dns_warnings(pod, self._shared.config, self._shared.host_resolver):
            self._shared.recorder.record(pod, "Warning", "DNSConfigForming", warning)
        async with self._shared.pace.place(Start.SANDBOX, self._tasks):
            sandbox = await self.finish(partial(self._run_sandbox, config), "sandbox", CUT_OFF)
        events.release()
        failure = await volumes
        if isinstance(failure, Exception):
            raise failure
        return sandbox

    async def _sandbox_config(self, pod: Obj, attempt: int) -> SandboxConfig:
        """What the runtime is told of the sandbox. Errors: RuntimeFailed where it cannot isolate it so."""
        shared = self._shared
        if fault := hostname_fault(pod, shared.config):
            raise RuntimeFailed(fault)
        config = sandbox_config(pod, attempt, shared.config, shared.host_resolver)
        return await shared.isolation.apply(pod, config)

    async def _run_sandbox(self, config: SandboxConfig) -> Sandbox:
        id = await self._shared.runtime.sandboxes.run(config)
        sandbox = await self._shared.runtime.sandboxes.status(id)
        self._shared.view.record_sandbox(sandbox)
        return sandbox

    def _make_room(self, pod: Obj) -> None:
        config, uid = self._shared.config, uid_of(pod)
        config.pod_dir(uid).mkdir(parents=True, exist_ok=True, mode=0o750)
        meta = pod["metadata"]
        config.pod_log_dir(meta["namespace"], meta["name"], uid).mkdir(parents=True, exist_ok=True)
        self._shared.cgroups.make(pod)

    def _prefetch(self, pod: Obj, container: Obj, events: HeldEvents) -> None:
        tell = events.through(self._shared.teller(pod, container))
        self._images[container["name"]] = self._tasks.spawn(
            _answer(partial(self._image, pod, container, tell)), f"image/{container['name']}"
        )

    async def _image(self, pod: Obj, container: Obj, tell: Tell) -> Image:
        shared = self._shared
        secrets = namespace_secrets(pod, shared.lookup, partial(shared.recorder.record, pod))
        return await shared.images.ensure(pod, container, secrets, tell)

    async def container(self, pod: Obj, spec: Obj, attempt: int, sandbox: Sandbox) -> Container:
        """A running container, its postStart hook done. Errors: StartRefused."""
        tell = self._shared.teller(pod, spec)
        try:
            image = await self._ready_image(pod, spec)
        except ImageRefused as refusal:
            tell("Warning", "Failed", f"Error: {refusal.reason}")
            retry = refusal.retry_at or self._shared.epoch() + CONFIG_RETRY
            raise StartRefused(refusal.reason, refusal.message, retry) from refusal
        try:
            config = await self._configure(pod, spec, attempt, (image, sandbox))
        except (ConfigRefused, DevicesLacking, ClaimsUnprepared, OSError) as refusal:
            tell("Warning", "Failed", f"Error: {refusal}")
            retry = self._shared.epoch() + CONFIG_RETRY
            raise StartRefused("CreateContainerConfigError", str(refusal), retry) from refusal
        work = partial(self._create_and_start, pod, spec, config, (image, sandbox))
        try:
            async with self._shared.pace.place(Start.CONTAINER, self._tasks):
                container = await self.finish(work, f"start/{spec['name']}", CUT_OFF)
            await self._after_start(pod, spec, container, sandbox)
        finally:
            self.hooked.clear()
        return container

    async def _ready_image(self, pod: Obj, spec: Obj) -> Image:
        task = self._images.pop(spec["name"], None)
        tell = self._shared.teller(pod, spec)
        answer = await task if task is not None else await _answer(partial(self._image, pod, spec, tell))
        if isinstance(answer, ImageRefused):
            raise answer
        return answer

    async def _configure(
        self, pod: Obj, spec: Obj, attempt: int, ready: tuple[Image, Sandbox]
    ) -> ContainerConfig:
        shared = self._shared
        image, sandbox = ready
        facts = shared.facts(self.addresses(pod, sandbox))
        given = await shared.devices.options(pod, spec)
        env = environment(pod, spec, facts, shared.services(pod), shared.lookup)
        self._write_hosts(pod, sandbox)
        recursive = shared.isolation.recursive_read_only(pod)
        mounts = await self._volumes.mounts(spec, attempt, dict(env), recursive=recursive)
        parts = Parts(
            attempt,
            image,
            env,
            mounts,
            shared.memory,
            target=self._target(pod, spec),
            user=await shared.isolation.users(pod),
            host=shared.host_limits,
            devices=self._volumes.devices(spec),
            given=given,
            profiles=shared.config.seccomp_dir,
        )
        return container_config(pod, spec, parts)

    def _target(self, pod: Obj, spec: Obj) -> str:
        """The id of the container that an ephemeral container is aimed at; '' where it names none.
        Errors: ConfigRefused."""
        name = spec.get("targetContainerName")
        if not name:
            return ""
        runs = self._shared.view.of(uid_of(pod)).by_name().get(name)
        if not runs or runs[0].state != "running":
            raise ConfigRefused(f'unable to find target container "{name}"')
        return runs[0].id

    def addresses(self, pod: Obj, sandbox: Sandbox) -> tuple[str, ...]:
        """The pod's addresses."""
        on_host = pod["spec"].get("hostNetwork")
        return (self._shared.config.node_ip,) if on_host else tuple(sandbox.ips)

    def _write_hosts(self, pod: Obj, sandbox: Sandbox) -> None:
        config = self._shared.config
        host = ""
        if pod["spec"].get("hostNetwork") and config.hosts_file.exists():
            host = config.hosts_file.read_text(errors="replace")
        text = hosts_file(pod, config, self.addresses(pod, sandbox), host)
        file: Path = config.pod_dir(uid_of(pod)) / "etc-hosts"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            file.chmod(0o644)

    async def _create_and_start(
        self, pod: Obj, spec: Obj, config: ContainerConfig, ready: tuple[Image, Sandbox]
    ) -> Container:
        shared = self._shared
        image, sandbox = ready
        tell = shared.teller(pod, spec)
        whole = await self._sandbox_config(pod, sandbox.attempt)
        try:
            id = await shared.runtime.containers.create(sandbox.id, config, whole)
        except (RuntimeFailed, TimeoutError) as error:
            tell("Warning", "Failed", f"Error: {error}")
            wait = CONFIG_RETRY if await self._still_ready(sandbox) else 0.0
            raise StartRefused("CreateContainerError", str(error), shared.epoch() + wait) from error
        container = _record(id, "created", config, (image, sandbox), shared.epoch(), whole.log_directory)
        if (spec.get("lifecycle") or {}).get("postStart"):
            self.hooked.add(id)
        shared.view.record_container(container)
        tell("Normal", "Created", f"Created container: {spec['name']}")
        begun = shared.epoch()  # before the start itself, and so before any end
        try:
            await shared.runtime.containers.start(id)
        except (RuntimeFailed, TimeoutError) as error:
            tell("Warning", "Failed", f"Error: {error}")
            await self._note_failed_start(id)
            raise StartRefused("RunContainerError", str(error)) from error
        tell("Normal", "Started", f"Started container {spec['name']}")
        known = shared.view.find(id)
        if known is not None and known.state == "exited":
            return known  # it has ended already, and the event came first
        container = _record(id, "running", config, (image, sandbox), begun, whole.log_directory)
        shared.view.record_container(container)
        if shared.isolation.tells_users():
            return await self._with_user(container)
        return container

    async def _with_user(self, container: Container) -> Container:
        """The container with whom it runs as, which only the runtime knows."""
        try:
            return await self._shared.view.refresh(container.id) or container
        except (RuntimeFailed, TimeoutError):
            return container

    async def _still_ready(self, sandbox: Sandbox) -> bool:
        """Whether the sandbox is there as ever; one that is lost is replaced at once."""
        try:
            seen = await self._shared.view.refresh_sandbox(sandbox.id)
        except (RuntimeFailed, TimeoutError):
            return True
        return seen is not None and seen.state == "ready"

    async def _note_failed_start(self, id: str) -> None:
        try:
            await self._shared.view.refresh(id)
        except (RuntimeFailed, TimeoutError):
            return  # the relist will tell

    async def _after_start(self, pod: Obj, spec: Obj, container: Container, sandbox: Sandbox) -> None:
        hook = (spec.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        shared = self._shared
        ip = next(iter(self.addresses(pod, sandbox)), "")
        target = Target(container.id, spec, ip, shared.runtime.streams, shared.clock)
        tell = shared.teller(pod, spec)
        failure = await run_hook(hook, target, pod, HOOK_LIMIT, tell)
        if not failure:
            return
        tell("Warning", "FailedPostStartHook", "PostStartHook failed")
        asked = pod["spec"].get("terminationGracePeriodSeconds")
        how = Stopping(float(30 if asked is None else asked), "FailedPostStartHook")
        try:
            await Stopper(shared).container(pod, container, how)
            await shared.view.refresh(container.id)
        except (RuntimeFailed, TimeoutError) as error:
            raise StartRefused("PostStartHookError", str(error)) from error
        raise StartRefused("PostStartHookError", failure)

    async def finish(self, work: Work[T], name: str, patience: float = math.inf) -> T:
        """Do `work` to its end even if the caller is cancelled meanwhile, but for no longer than `patience`
        seconds after that."""
        task = self._tasks.spawn(_answer(work), name)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            await self._let_end(task, patience)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _let_end(self, task: asyncio.Task[Any], patience: float) -> None:
        if patience < math.inf:
            timer = self._tasks.spawn(self._shared.clock.sleep(patience), "patience")
            await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            task.cancel()
        await asyncio.wait((task,))


async def _answer(work: Work[Any]) -> Any:
    """The result of `work`, or its error as a value, for whoever waits for it later."""
    try:
        return await work()
    except Exception as error:
        return error


def _record(
    id: str, state: str, config: ContainerConfig, ready: tuple[Image, Sandbox], now: float, log_dir: str
) -> Container:
    image, sandbox = ready
    return Container(
        id=id,
        sandbox_id=sandbox.id,
        name=config.name,
        attempt=config.attempt,
        state=state,
        image=image.tags[0] if image.tags else config.user_image,
        image_id=image.digests[0] if image.digests else image.id,
        created_at=now,
        started_at=now if state == "running" else 0.0,
        labels=config.labels,
        annotations=config.annotations,
        log_path=f"{log_dir}/{config.log_path}",
        mounts=config.mounts,
        applied=config.resources,
    )
