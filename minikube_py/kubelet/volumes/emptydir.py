"""emptyDir: a directory that lives as long as its pod: on disk, in memory, or in huge pages.

In memory it holds at most its sizeLimit, the pod's memory limit, or what the node has for pods, the least of
them counting.
"""

from collections.abc import Mapping
from pathlib import Path

from minikube_py.kubelet.volumes.base import Mounted, VolumeContext, VolumeFailed, VolumeKind
from minikube_py.kubelet.volumes.mounts import MS_NODEV, MS_NOSUID, is_mounted, mount, mount_tmpfs
from minikube_py.kubelet.volumes.ownership import give, group_of
from minikube_py.meta.objects import Obj, dig, uid_of
from minikube_py.meta.quantity import int_value

MODE = 0o777
PAGES = Path("/sys/kernel/mm/hugepages")
PAGE_PREFIX = "hugepages-"


class EmptyDirVolume(VolumeKind):
    source = "emptyDir"

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        directory = context.directory("empty-dir", volume["name"])
        source = volume.get("emptyDir") or {}
        await context.storage.run(lambda: _make(directory, source, context))
        return Mounted(directory)

    def is_at_hand(self, context: VolumeContext, volume: Obj) -> bool:
        return not (volume.get("emptyDir") or {}).get("medium")


def _make(directory: Path, source: Obj, context: VolumeContext) -> None:
    medium = source.get("medium") or ""
    ready = (
        context.config.pod_dir(uid_of(context.pod))
        / "plugins/kubernetes.io~empty-dir"
        / directory.name
        / "ready"
    )
    if ready.exists() and (not medium or is_mounted(directory)):
        return  # made before a restart: what is in it is the containers' own
    directory.mkdir(parents=True, exist_ok=True)
    if medium and not is_mounted(directory):
        _mount(directory, medium, source, context)
    if directory.stat().st_mode & MODE != MODE:
        directory.chmod(MODE)
    if (group := group_of(context.pod)) is not None:
        give(directory, group)
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.touch()


def _mount(directory: Path, medium: str, source: Obj, context: VolumeContext) -> None:
    if medium == "Memory":
        mount_tmpfs(directory, size=memory_size(context.pod, source, context.facts.allocatable))
    elif medium == "HugePages" or medium.startswith("HugePages-"):
        size = page_size(context.pod, medium)
        if not (PAGES / f"hugepages-{size // 1024}kB").is_dir():
            raise VolumeFailed(f"medium {medium!r}: this node has no huge pages of {size} bytes")
        mount("nodev", directory, "hugetlbfs", MS_NOSUID | MS_NODEV, f"pagesize={size}")
    else:
        raise VolumeFailed(f'unknown storage medium "{medium}"')


def memory_size(pod: Obj, source: Obj, allocatable: Mapping[str, str]) -> int:
    """The bytes that a volume in memory may hold; 0 where nothing limits it."""
    limits = [int_value(text) for text in (source.get("sizeLimit"), allocatable.get("memory")) if text]
    if (whole := pod_memory(pod)) is not None:
        limits.append(whole)
    return min((limit for limit in limits if limit > 0), default=0)


def pod_memory(pod: Obj) -> int | None:
    """The pod's memory limit in bytes: its own, or what all its containers' come to; None without one."""
    if whole := dig(pod, "spec.resources.limits.memory"):
        return int_value(whole)
    starts = pod["spec"].get("initContainers") or ()
    sidecars = [c for c in starts if c.get("restartPolicy") == "Always"]
    limits = [dig(c, "resources.limits.memory") for c in (*pod["spec"]["containers"], *sidecars)]
    if not all(limits):
        return None
    first = [dig(c, "resources.limits.memory") for c in starts if c not in sidecars]
    return max(sum(int_value(text) for text in limits), *(int_value(text) for text in first if text), 0)


def page_size(pod: Obj, medium: str) -> int:
    """The size in bytes of the huge pages of a medium, or of those that the pod asks for. Errors:
    VolumeFailed."""
    if medium != "HugePages":
        return int_value(medium.removeprefix("HugePages-"))
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    sizes = {
        int_value(name.removeprefix(PAGE_PREFIX))
        for container in containers
        for name in dig(container, "resources.requests") or {}
        if name.startswith(PAGE_PREFIX)
    }
    if len(sizes) != 1:
        found = "no" if not sizes else "several sizes of"
        raise VolumeFailed(f"cannot mount medium HugePages: the pod's containers ask for {found} huge pages")
    return sizes.pop()
