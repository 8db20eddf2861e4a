"""What a kind of volume offers: which objects it needs, and how it is made, refreshed and taken down.

A volume's own directory is pods/<uid>/volumes/kubernetes.io~<kind>/<name>. Errors while making one are
`VolumeFailed`, whose message becomes the FailedMount event.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Client
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.environment import PodFacts
from minikube_py.meta.objects import Obj, namespace_of, uid_of


class VolumeFailed(Exception):
    """The volume cannot be made (yet); the message says why."""


class ObjectRef(NamedTuple):
    """An object that a volume is made from. kind is ConfigMap or Secret."""

    kind: str
    namespace: str
    name: str


class File(NamedTuple):
    """One file of a volume's content."""

    data: bytes
    mode: int


@dataclass(slots=True)
class VolumeContext:
    """One pod's surroundings, as its volumes need them."""

    pod: Obj
    client: Client
    clock: Clock
    config: KubeletConfig
    facts: PodFacts
    lookup: Callable[[str, str, str], Obj | None]
    refresh_at: dict[str, float] = field(default_factory=dict)
    """Volume name > when (seconds since the epoch) it wants to be refreshed, such as a token's renewal."""

    def directory(self, kind: str, name: str) -> Path:
        """The volume's own directory; it may not exist yet."""
        pod_dir = self.config.pod_dir(uid_of(self.pod))
        return pod_dir / "volumes" / f"kubernetes.io~{kind}" / name

    @property
    def fs_group(self) -> int | None:
        """The group that owns the pod's volumes, if the pod names one."""
        return (self.pod["spec"].get("securityContext") or {}).get("fsGroup")

    def needed(self, kind: str, source: Obj, name: str) -> Obj | None:
        """The ConfigMap or Secret `name`; None where it is optional and missing. Errors: VolumeFailed."""
        found = self.lookup(kind, namespace_of(self.pod), name)
        if found is None and not source.get("optional"):
            raise VolumeFailed(f'{kind.lower()} "{name}" not found')
        return found


class VolumeKind(ABC):
    """One kind of volume; `source` is its field in a pod's volume."""

    source: str

    def needs(self, volume: Obj, namespace: str) -> Iterator[ObjectRef]:
        """The objects whose change changes the volume."""
        return iter(())

    @abstractmethod
    async def make(self, context: VolumeContext, volume: Obj) -> Path:
        """Make the volume, or find it made; its path on the host. Errors: VolumeFailed, OSError."""

    def forget(self, uid: str) -> None:
        """A pod is gone: drop what is remembered of it."""
        return  # most kinds remember nothing

    async def refresh(self, context: VolumeContext, volume: Obj) -> None:
        """Bring its content up to date. Errors: VolumeFailed, OSError."""
        return  # most kinds hold what containers wrote, which is nobody else's
