"""Volumes whose content the kubelet writes: configMap, secret, downwardAPI and projected share this."""

import asyncio
from abc import abstractmethod
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from minikube_py.kubelet.kuberuntime.environment import ConfigRefused, field_value, resource_value
from minikube_py.kubelet.volumes.atomic import check_path, write_files
from minikube_py.kubelet.volumes.base import File, Mounted, VolumeContext, VolumeFailed, VolumeKind
from minikube_py.kubelet.volumes.emptydir import memory_size
from minikube_py.kubelet.volumes.mounts import is_mounted, mount_tmpfs
from minikube_py.kubelet.volumes.ownership import group_of
from minikube_py.meta.objects import Obj

DEFAULT_MODE = 0o644
MISSING = {
    "ConfigMap": "configmap references non-existent config key",
    "Secret": "references non-existent secret key",
}


class ContentVolume(VolumeKind):
    """A directory of files written atomically. `in_memory`: it lies on tmpfs where the node allows."""

    in_memory = False

    @abstractmethod
    async def files(self, context: VolumeContext, volume: Obj) -> Mapping[str, File]:
        """The content: path > file. Errors: VolumeFailed."""

    @abstractmethod
    def sources(self, volume: Obj) -> list[Obj]:
        """What it is made from, as the sources of a projected volume."""

    def is_at_hand(self, context: VolumeContext, volume: Obj) -> bool:
        try:
            for source in self.sources(volume):
                known_files(context, source, DEFAULT_MODE)
        except VolumeFailed:
            return False
        return True

    def directory_kind(self) -> str:
        """The kind in the volume's directory name."""
        return {"configMap": "configmap", "downwardAPI": "downward-api"}.get(self.source, self.source)

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        files = await self.files(context, volume)
        directory = context.directory(self.directory_kind(), volume["name"])
        await asyncio.to_thread(self._write, directory, files, context)
        return Mounted(directory, read_only=True)

    async def refresh(self, context: VolumeContext, volume: Obj) -> None:
        await self.make(context, volume)

    def _write(self, directory: Path, files: Mapping[str, File], context: VolumeContext) -> None:
        in_memory = self.in_memory and context.config.memory_volumes
        is_new = _made(directory)
        if in_memory and (is_new or not is_mounted(directory)):
            mount_tmpfs(directory, memory_size(context.pod, {}, context.facts.allocatable))
        if (directory.stat().st_mode & 0o777) != 0o777:
            directory.chmod(0o777)
        write_files(directory, files, context.clock.now(), group_of(context.pod))


def _made(directory: Path) -> bool:
    """Make the directory; False where it is there already."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def mode_of(source: Obj, otherwise: int = DEFAULT_MODE, field: str = "defaultMode") -> int:
    """The mode that a source or item asks for; 0 is one too."""
    mode = source.get(field)
    return otherwise if mode is None else int(mode)


def keyed_files(kind: str, source: Obj, found: Obj | None, mode: int) -> dict[str, File]:
    """The files of a ConfigMap or Secret: every key, or the `items` asked for. Errors: VolumeFailed."""
    if found is None:
        return {}
    data = _payload(kind, found)
    items = source.get("items")
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item["key"] in data:
            files[check_path(item["path"])] = File(data[item["key"]], mode_of(item, mode, "mode"))
        elif not source.get("optional"):
            raise VolumeFailed(f"{MISSING[kind]}: {item['key']}")
    return files


def _payload(kind: str, found: Obj) -> dict[str, bytes]:
    data = found.get("data") or {}
    if kind == "Secret":
        return {key: b64decode(value or "") for key, value in data.items()}
    binary = {key: b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return {key: value.encode() for key, value in data.items()} | binary


def known_files(context: VolumeContext, source: Obj, mode: int) -> dict[str, File]:
    """The files of a source that is a ConfigMap, a Secret or the downward API; none of another. Errors:
    VolumeFailed."""
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if (ref := source.get(field)) is not None:
            return keyed_files(kind, ref, context.needed(kind, ref, ref.get("name", "")), mode)
    if ref := source.get("downwardAPI"):
        return downward_files(context, ref.get("items") or [], mode)
    return {}


def downward_files(context: VolumeContext, items: list[Obj], mode: int) -> dict[str, File]:
    """The files of a downwardAPI source. Errors: VolumeFailed."""
    files: dict[str, File] = {}
    for item in items:
        try:
            if "fieldRef" in item:
                text = field_value(item["fieldRef"]["fieldPath"], context.pod, context.facts)
            else:
                text = resource_value(item["resourceFieldRef"], context.pod, {}, context.facts)
        except ConfigRefused as refusal:
            raise VolumeFailed(str(refusal)) from refusal
        files[check_path(item["path"])] = File(text.encode(), mode_of(item, mode, "mode"))
    return files
