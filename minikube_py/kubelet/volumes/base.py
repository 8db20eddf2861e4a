"""What a kind of volume offers: which objects it needs, and how it is made and refreshed.

A volume's own directory is pods/<uid>/volumes/kubernetes.io~<kind>/<name>; what is below it tells how it is
taken down (`teardown`), so that a kubelet that has just started needs no memory. Errors while making one are
`VolumeFailed`, whose message becomes the FailedMount event.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Client
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.kuberuntime.environment import PodFacts
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.meta.objects import Obj, dig, namespace_of, uid_of

SET_UP = "MountVolume.SetUp"


class VolumeFailed(Exception):
    """The volume cannot be made (yet); the message says why. `step` is the part of the work as events name it,
    `name` what is mounted, where that is not the volume's own name (a PersistentVolume's)."""

    def __init__(self, message: str, *, step: str = SET_UP, name: str = "") -> None:
        super().__init__(message)
        self.step, self.name = step, name


def words(error: OSError) -> str:
    """What the machine says of a path, in the order in which Go tells it."""
    if error.strerror is None or error.filename is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"


class NotProcessed(VolumeFailed):
    """It is not known what to mount: the volume's claim is missing or not bound, or nothing mounts its kind."""


def no_plugin(name: str) -> NotProcessed:
    """The volume (or PersistentVolume) `name` is of no kind that this node mounts."""
    return NotProcessed(
        f'failed to get Plugin from volumeSpec for volume "{name}" err=no volume plugin matched', name=name
    )


class ObjectRef(NamedTuple):
    """An object that a volume is made from. kind is ConfigMap, Secret, PersistentVolumeClaim or CSIDriver
    (without a name: any driver of this node)."""

    kind: str
    namespace: str
    name: str


ANY_DRIVER = ObjectRef("CSIDriver", "", "")
"""What a volume needs that some driver may have to mount: it is told whenever one has registered."""


class File(NamedTuple):
    """One file of a volume's content; `user` owns it (None: root)."""

    data: bytes
    mode: int
    user: int | None = None


class Mounted(NamedTuple):
    """A volume that is made. `device`: `path` is a block device; `read_only`: no container may write."""

    path: Path
    read_only: bool = False
    device: bool = False


@dataclass(slots=True)
class VolumeContext:
    """One pod's surroundings, as its volumes need them."""

    pod: Obj
    client: Client
    clock: Clock
    config: KubeletConfig
    facts: PodFacts
    lookup: Callable[[str, str, str], Obj | None]
    storage: Storage
    refresh_at: dict[str, float] = field(default_factory=dict)
    """Volume name > when (seconds since the epoch) it wants to be refreshed, such as a token's renewal."""

    def directory(self, kind: str, name: str) -> Path:
        """The volume's own directory; it may not exist yet."""
        pod_dir = self.config.pod_dir(uid_of(self.pod))
        return pod_dir / "volumes" / f"kubernetes.io~{kind}" / name

    def needed(self, kind: str, source: Obj, name: str) -> Obj | None:
        """The ConfigMap or Secret `name`; None where it is optional and missing. Errors: VolumeFailed."""
        found = self.lookup(kind, namespace_of(self.pod), name)
        if found is None and not source.get("optional"):
            raise VolumeFailed(f'{kind.lower()} "{name}" not found')
        return found

    def tell(self, type: str, reason: str, message: str) -> None:
        """Record an event about the pod."""
        self.storage.tell(self.pod, type, reason, message)

    def uses_device(self, volume: str) -> bool:
        """Whether a container takes the volume as a device."""
        spec = self.pod["spec"]
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        return any(one["name"] == volume for c in containers for one in dig(c, "volumeDevices") or ())


class VolumeKind(ABC):
    """One kind of volume; `source` is its field in a pod's volume."""

    source: str

    def needs(self, pod: Obj, volume: Obj) -> Iterator[ObjectRef]:
        """The objects whose change changes the volume."""
        return iter(())

    @abstractmethod
    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        """Make the volume, or find it made. Errors: VolumeFailed, OSError."""

    def is_at_hand(self, context: VolumeContext, volume: Obj) -> bool:
        """Whether all is there that it is made from, so that making it takes no time to speak of."""
        return False

    def forget(self, uid: str) -> None:
        """A pod is gone: drop what is remembered of it."""
        return  # most kinds remember nothing

    async def refresh(self, context: VolumeContext, volume: Obj) -> None:
        """Bring its content up to date. Errors: VolumeFailed, OSError."""
        return  # most kinds hold what containers wrote, which is nobody else's
