"""PodVolumes: all volumes of one pod, made at its start, refreshed when their objects change, taken down.

Preparing is idempotent: after a restart of the kubelet it finds what is there. Taking down unmounts and
removes everything below the pod's directory, also what an earlier kubelet has left.
"""

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from minikube_py.collect import classes
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.containers import message_file
from minikube_py.kubelet.environment import ConfigRefused, expand
from minikube_py.kubelet.volumes.base import ObjectRef, VolumeContext, VolumeFailed, VolumeKind
from minikube_py.kubelet.volumes.mounts import unmount_below
from minikube_py.kubelet.volumes.subpath import bind_subpath
from minikube_py.meta.objects import Obj, namespace_of, uid_of
from minikube_py.runtime.base import Mount

READ_ONLY_KINDS = ("configMap", "secret", "downwardAPI", "projected")


def volume_kinds() -> dict[str, VolumeKind]:
    """Every kind of volume in volumes/, by the field that names it."""
    return {
        kind.source: kind()
        for kind in classes("minikube_py.kubelet.volumes", VolumeKind)  # type: ignore[type-abstract]
    }


def _source(volume: Obj) -> str:
    return next((field for field in volume if field != "name"), "emptyDir")


class PodVolumes:
    """The volumes of one pod; `context` is renewed by the worker when the pod changes."""

    def __init__(self, context: VolumeContext, kinds: Mapping[str, VolumeKind]) -> None:
        self.context = context
        self._kinds = kinds
        self._paths: dict[str, Path] = {}
        self._lock = asyncio.Lock()

    @property
    def _volumes(self) -> list[Obj]:
        return self.context.pod["spec"].get("volumes") or []

    def needs(self) -> Iterator[ObjectRef]:
        """The objects whose change must reach this pod's volumes."""
        for volume in self._volumes:
            if kind := self._kinds.get(_source(volume)):
                yield from kind.needs(volume, namespace_of(self.context.pod))

    async def prepare(self) -> None:
        """Make every volume that is not made yet, all at once. Errors: VolumeFailed, for the first in order."""
        async with self._lock:
            missing = [volume for volume in self._volumes if volume["name"] not in self._paths]
            done = await asyncio.gather(*(self._make(v) for v in missing), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result

    async def _make(self, volume: Obj) -> None:
        name = volume["name"]
        kind = self._kinds.get(_source(volume))
        if kind is None:
            raise VolumeFailed(f'volume "{name}": {_source(volume)} volumes are not supported by this node')
        try:
            self._paths[name] = await kind.make(self.context, volume)
        except (VolumeFailed, OSError) as error:
            raise VolumeFailed(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    async def refresh(self) -> None:
        """Bring the content of the volumes that are made up to date. Errors: VolumeFailed."""
        async with self._lock:
            for volume in self._volumes:
                name = volume["name"]
                if name not in self._paths:
                    continue
                try:
                    await self._kinds[_source(volume)].refresh(self.context, volume)
                except (VolumeFailed, OSError) as error:
                    raise VolumeFailed(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    @property
    def refresh_at(self) -> float | None:
        """When the next refresh is due by itself, in seconds since the epoch."""
        return min(self.context.refresh_at.values(), default=None)

    async def mounts(self, container: Obj, attempt: int, env: Mapping[str, str]) -> list[Mount]:
        """The mounts of one start of `container`. Errors: ConfigRefused."""
        config, uid = self.context.config, uid_of(self.context.pod)
        result = [
            await self._mount(container, place, mount, env)
            for place, mount in enumerate(container.get("volumeMounts") or ())
        ]
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
        path = self._paths.get(mount["name"])
        volume = next((v for v in self._volumes if v["name"] == mount["name"]), None)
        if path is None or volume is None:
            raise ConfigRefused(
                f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"'
            )
        if subpath := mount.get("subPath") or expand(mount.get("subPathExpr") or "", env):
            bound = (
                self.context.config.pod_dir(uid_of(self.context.pod))
                / "volume-subpaths"
                / mount["name"]
                / container["name"]
                / str(place)
            )
            writable = _source(volume) not in READ_ONLY_KINDS
            try:
                path = await asyncio.to_thread(bind_subpath, path, subpath, bound, writable=writable)
            except VolumeFailed as refusal:
                raise ConfigRefused(str(refusal)) from refusal
        target = mount["mountPath"]
        return Mount(
            str(path),
            target if target.startswith("/") else f"/{target}",
            bool(mount.get("readOnly")) or _source(volume) in READ_ONLY_KINDS,
            mount.get("mountPropagation") or "None",
        )

    async def take_down(self) -> None:
        """Unmount and remove everything that the pod had on this node but its logs."""
        async with self._lock:
            self._paths.clear()
            self.context.refresh_at.clear()
            for kind in self._kinds.values():
                kind.forget(uid_of(self.context.pod))
            await remove_pod_dir(self.context.config, uid_of(self.context.pod))


async def remove_pod_dir(config: KubeletConfig, uid: str) -> None:
    """Unmount and remove a pod's directory. Errors: OSError where something is still in use."""
    await asyncio.to_thread(_remove_tree, config.pod_dir(uid))


def _make_writable(file: Path) -> None:
    """An empty file that any user in a container may write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    file.chmod(0o666)


def _remove_tree(directory: Path) -> None:
    if directory.exists():
        unmount_below(directory)
        shutil.rmtree(directory)
