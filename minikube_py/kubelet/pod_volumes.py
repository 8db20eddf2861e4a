"""PodVolumes: all volumes of one pod, made at its start, refreshed when their objects change, taken down.

Preparing is idempotent: after a restart of the kubelet it finds what is there. Taking down unmounts and
removes everything below the pod's directory, also what an earlier kubelet has left; it ends a preparation that
still waits for something.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from minikube_py.collect import classes
from minikube_py.kubelet.kuberuntime.containers import message_file
from minikube_py.kubelet.kuberuntime.environment import ConfigRefused, expand
from minikube_py.kubelet.kuberuntime.security import is_recursive
from minikube_py.kubelet.volumes.base import (
    Mounted,
    NotProcessed,
    ObjectRef,
    VolumeContext,
    VolumeFailed,
    VolumeKind,
    no_plugin,
    words,
)
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.kubelet.volumes.subpath import SubpathRefused, bind_subpath
from minikube_py.kubelet.volumes.teardown import TakeDownFailed, take_down
from minikube_py.meta.objects import Obj, uid_of
from minikube_py.runtime.base import Device, Mount

REFRESH_RETRY = 10.0
"""Seconds until a refresh that failed is due again."""
Work = Callable[[Obj], Awaitable[None]]
_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$\(([^()]*)\)")


def volume_kinds() -> dict[str, VolumeKind]:
    """Every kind of volume in volumes/, by the field that names it."""
    return {
        kind.source: kind()
        for kind in classes("minikube_py.kubelet.volumes", VolumeKind)  # type: ignore[type-abstract]
    }


def _source(volume: Obj) -> str:
    return next((field for field in volume if field != "name"), "emptyDir")


def told(name: str, failure: VolumeFailed | OSError) -> str:
    """A failure to mount the volume `name`, as events say it."""
    step = failure.step if isinstance(failure, VolumeFailed) else "MountVolume.SetUp"
    mounted = (failure.name if isinstance(failure, VolumeFailed) else "") or name
    why = words(failure) if isinstance(failure, OSError) else failure
    return f'{step} failed for volume "{mounted}" : {why}'


def not_processed(missing: Sequence[str], failures: Mapping[str, NotProcessed]) -> str:
    """Why volumes are not mounted whose claims are not ready, or that are of no kind that this node mounts;
    `missing` are all that are not."""
    reasons = "; ".join(str(failure) for failure in failures.values())
    return (
        f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(sorted(missing))}], "
        f"unattached volumes=[], failed to process volumes=[{' '.join(sorted(failures))}]: {reasons}"
    )


def refuse_recursion(container: Obj, able: bool) -> None:
    """Errors: ConfigRefused where a mount must be recursively read-only, and the runtime is not able to."""
    for mount in container.get("volumeMounts") or ():
        if mount.get("recursiveReadOnly") == "Enabled" and not able:
            raise ConfigRefused(
                f'failed to resolve recursive read-only mode: volume "{mount["name"]}" requested recursive '
                "read-only mode, but it is not supported by the runtime"
            )


class PodVolumes:
    """The volumes of one pod; `context` is renewed by the worker when the pod changes."""

    def __init__(self, context: VolumeContext, kinds: Mapping[str, VolumeKind]) -> None:
        self.context = context
        self._kinds = kinds
        self._mounted: dict[str, Mounted] = {}
        self.took: Callable[[Obj, Mounted | None, float], None] = lambda volume, made, seconds: None
        """Told how long it took to make a volume; None: it could not be made."""
        self._lock = asyncio.Lock()
        self._work: asyncio.Future[list[VolumeFailed | OSError | None]] | None = None

    @property
    def _volumes(self) -> list[Obj]:
        return self.context.pod["spec"].get("volumes") or []

    def needs(self) -> Iterator[ObjectRef]:
        """The objects whose change must reach this pod's volumes."""
        for volume in self._volumes:
            if kind := self._kinds.get(_source(volume)):
                yield from kind.needs(self.context.pod, volume)

    @property
    def _missing(self) -> list[Obj]:
        return [volume for volume in self._volumes if volume["name"] not in self._mounted]

    def are_at_hand(self) -> bool:
        """Whether all is there that the volumes are made from which are not made yet."""
        found = ((self._kinds.get(_source(volume)), volume) for volume in self._missing)
        return all(kind is not None and kind.is_at_hand(self.context, volume) for kind, volume in found)

    async def prepare(self) -> None:
        """Make every volume that is not made yet, all at once. Errors: VolumeFailed, for the first in order;
        the others are told in events."""
        async with self._lock:
            failures = await self._each(self._missing, self._make)
        waiting = {name: one for name, one in failures.items() if isinstance(one, NotProcessed)}
        said = [told(name, failure) for name, failure in failures.items() if name not in waiting]
        if waiting:
            said.append(not_processed(list(failures), waiting))
        for message in said[1:]:
            self.context.tell("Warning", "FailedMount", message)
        for message in said[:1]:
            raise VolumeFailed(message) from next(iter(failures.values()))

    async def _each(self, volumes: list[Obj], work: Work) -> dict[str, VolumeFailed | OSError]:
        """Do `work` for all volumes at once; the failures by name, in order."""
        if not volumes:
            return {}
        self._work = asyncio.gather(*(_outcome(work, volume) for volume in volumes))
        try:
            outcomes = await self._work
        finally:
            self._work = None
        found = zip(volumes, outcomes, strict=True)
        return {volume["name"]: failure for volume, failure in found if failure is not None}

    async def _make(self, volume: Obj) -> None:
        kind = self._kinds.get(_source(volume))
        if kind is None:
            raise no_plugin(volume["name"])
        begun, made = self.context.clock.monotonic(), None
        try:
            made = self._mounted[volume["name"]] = await kind.make(self.context, volume)
        finally:
            self.took(volume, made, self.context.clock.monotonic() - begun)

    async def refresh(self) -> None:
        """Bring the content of the volumes that are made up to date. Errors: VolumeFailed, for the first."""
        async with self._lock:
            made = [volume for volume in self._volumes if volume["name"] in self._mounted]
            failures = await self._each(made, self._refresh)
        for name, failure in failures.items():
            again = self.context.clock.now().timestamp() + REFRESH_RETRY
            due = self.context.refresh_at
            due.update({key: max(moment, again) for key, moment in due.items()})
            raise VolumeFailed(told(name, failure)) from failure

    async def _refresh(self, volume: Obj) -> None:
        await self._kinds[_source(volume)].refresh(self.context, volume)

    @property
    def refresh_at(self) -> float | None:
        """When the next refresh is due by itself, in seconds since the epoch; None while one is at work."""
        if self._lock.locked():
            return None
        return min(self.context.refresh_at.values(), default=None)

    async def mounts(
        self, container: Obj, attempt: int, env: Mapping[str, str], *, recursive: bool = False
    ) -> list[Mount]:
        """The mounts of one start of `container`; `recursive`: the runtime can make them read-only with all
        that is below. Errors: ConfigRefused."""
        config, uid = self.context.config, uid_of(self.context.pod)
        refuse_recursion(container, recursive)
        result = [
            await self._mount(container, place, mount, env)
            for place, mount in enumerate(container.get("volumeMounts") or ())
        ]
        if recursive:
            asked = zip(result, container.get("volumeMounts") or (), strict=True)
            result = [replace(one, recursive=is_recursive(mount)) for one, mount in asked]
        taken = {mount.container_path for mount in result}
        if "/etc/hosts" not in taken:
            result.append(Mount(str(config.pod_dir(uid) / "etc-hosts"), "/etc/hosts"))
        message_path = container.get("terminationMessagePath", "/dev/termination-log")
        if message_path:
            file = message_file(config, uid, container["name"], attempt)
            _make_writable(Path(file))
            result.append(Mount(file, message_path))
        return result

    async def _mount(self, container: Obj, place: int, mount: Obj, env: Mapping[str, str]) -> Mount:
        mounted = self._found(container, mount["name"])
        path = mounted.path
        if subpath := mount.get("subPath") or expanded_subpath(mount.get("subPathExpr") or "", env):
            bound = (
                self.context.config.pod_dir(uid_of(self.context.pod))
                / "volume-subpaths"
                / mount["name"]
                / container["name"]
                / str(place)
            )
            names = (mount["name"], container["name"])
            try:
                path = await self.context.storage.run(lambda: bind_subpath(mounted.path, subpath, bound, names))
            except SubpathRefused as refusal:
                raise ConfigRefused(str(refusal)) from refusal
        target = mount["mountPath"]
        read_only = bool(mount.get("readOnly"))
        return Mount(
            str(path),
            target if target.startswith("/") else f"/{target}",
            read_only or mounted.read_only,
            mount.get("mountPropagation") or "None",
        )

    def devices(self, container: Obj) -> list[Device]:
        """The devices that `container` is given. Errors: ConfigRefused."""
        found = []
        for device in container.get("volumeDevices") or ():
            mounted = self._found(container, device["name"])
            permissions = "r" if mounted.read_only else "mrw"
            found.append(Device(str(mounted.path), device["devicePath"], permissions))
        return found

    def _found(self, container: Obj, name: str) -> Mounted:
        mounted = self._mounted.get(name)
        if mounted is None:
            raise ConfigRefused(f'cannot find volume "{name}" to mount into container "{container["name"]}"')
        return mounted

    def mounted(self) -> Mapping[str, Mounted]:
        """The volumes that are made, by name: what `volume_usage` measures."""
        return self._mounted

    async def take_down(self) -> None:
        """Unmount and remove everything that the pod had on this node but its logs. Errors: OSError."""
        if self._work is not None:
            self._work.cancel()
        async with self._lock:
            self._mounted.clear()
            self.context.refresh_at.clear()
            for kind in self._kinds.values():
                kind.forget(uid_of(self.context.pod))
            try:
                await remove_pod_dir(self.context.storage, uid_of(self.context.pod))
            except TakeDownFailed as failure:
                self.context.tell("Warning", "FailedUnMount", str(failure))
                raise


async def _outcome(work: Work, volume: Obj) -> VolumeFailed | OSError | None:
    """The failure of `work` on a volume as a value."""
    try:
        await work(volume)
    except (VolumeFailed, OSError) as failure:
        return failure
    return None


def expanded_subpath(expression: str, env: Mapping[str, str]) -> str:
    """A subPathExpr with its variables in it. Errors: ConfigRefused where one is not set or empty."""
    for name in _REFERENCE.findall(expression):
        if not env.get(name):
            raise ConfigRefused(f'missing value for "{name}"')
    return expand(expression, env)


async def remove_pod_dir(storage: Storage, uid: str) -> None:
    """Unmount and remove a pod's directory. Errors: OSError where something is still in use."""
    await take_down(storage, uid)


def _make_writable(file: Path) -> None:
    """An empty file that any user in a container may write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    file.chmod(0o666)
