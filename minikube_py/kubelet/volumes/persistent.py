"""PersistentVolumes: from a pod's claim to the volume that is bound to it, and what can be mounted of its
kinds.

`claimed` decides without I/O whether a claim may be used: it must be bound, and its volume bound back to it. A
kind of PersistentVolume is one `PersistentKind` subclass in this folder, found by its presence.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from minikube_py.collect import classes
from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kubelet.volumes.base import Mounted, NotProcessed, VolumeContext, VolumeFailed, no_plugin
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, controller_of, dig, is_deleting, name_of, namespace_of, uid_of

Get = Callable[[Kind, Key], Obj | None]
"""An object of the cluster, or None."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A bound claim and its volume; `read_only` is what the pod says of the claim."""

    claim: Obj
    volume: Obj
    read_only: bool = False

    @property
    def name(self) -> str:
        """The PersistentVolume's name."""
        return name_of(self.volume)

    @property
    def is_block(self) -> bool:
        """Whether it is a device."""
        return bool(dig(self.volume, "spec.volumeMode") == "Block")

    @property
    def options(self) -> list[str]:
        """The volume's mount options."""
        return dig(self.volume, "spec.mountOptions") or []


class PersistentKind(ABC):
    """One kind of PersistentVolume; `source` is its field in the spec."""

    source: str
    mount_options = True

    @abstractmethod
    async def mount(self, context: VolumeContext, claimed: Claimed) -> Mounted:
        """Mount it for the pod, or find it mounted. Errors: VolumeFailed, OSError."""

    async def refresh(self, context: VolumeContext, claimed: Claimed) -> None:
        """Bring it up to date with its claim. Errors: VolumeFailed, OSError."""
        return  # most kinds do not change


def persistent_kinds() -> dict[str, PersistentKind]:
    """Every kind of PersistentVolume that this node can mount, by the field that names it."""
    return {
        kind.source: kind()
        for kind in classes("minikube_py.kubelet.volumes", PersistentKind)  # type: ignore[type-abstract]
    }


def claim_name(pod: Obj, volume: Obj) -> str:
    """The name of the claim that a volume of a pod uses; an ephemeral one has its own."""
    if "ephemeral" in volume:
        return f"{name_of(pod)}-{volume['name']}"
    return str(dig(volume, "persistentVolumeClaim.claimName", ""))


def claimed(pod: Obj, volume: Obj, get: Get) -> Claimed:
    """The claim of a pod's volume and the PersistentVolume bound to it. Errors: NotProcessed."""
    namespace, name = namespace_of(pod), claim_name(pod, volume)
    try:
        claim = _bound_claim(get(PersistentVolumeClaim, Key(namespace, name)), name)
        if "ephemeral" in volume:
            _check_owner(claim, pod)
        found = _volume_of(claim, get)
    except NotProcessed as reason:
        raise NotProcessed(f"error processing PVC {namespace}/{name}: {reason}") from reason
    result = Claimed(claim, found, bool(dig(volume, "persistentVolumeClaim.readOnly")))
    _check_mode(pod, volume["name"], result)
    return result


def _bound_claim(claim: Obj | None, name: str) -> Obj:
    if claim is None:
        raise NotProcessed(f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found')
    if is_deleting(claim):
        raise NotProcessed("PVC is being deleted")
    if dig(claim, "status.phase") != "Bound" or not dig(claim, "spec.volumeName"):
        raise NotProcessed("PVC is not bound")
    return claim


def _check_owner(claim: Obj, pod: Obj) -> None:
    """That the claim of an ephemeral volume was made for the pod. Errors: NotProcessed."""
    owner = controller_of(claim)
    if owner is None or owner.get("uid") != uid_of(pod):
        place, who = f"{namespace_of(claim)}/{name_of(claim)}", f"{namespace_of(pod)}/{name_of(pod)}"
        raise NotProcessed(f"PVC {place} was not created for pod {who} (pod is not owner)")


def _volume_of(claim: Obj, get: Get) -> Obj:
    name = claim["spec"]["volumeName"]
    volume = get(PersistentVolume, Key("", name))
    if volume is None:
        raise NotProcessed(f'failed to fetch PV {name} from API server: persistentvolumes "{name}" not found')
    ref = dig(volume, "spec.claimRef")
    if ref is None:
        raise NotProcessed(
            f"found PV object {name} but it has a nil pv.Spec.ClaimRef "
            "indicating it is not yet bound to the claim"
        )
    if ref.get("uid") != uid_of(claim):
        raise NotProcessed(
            f"found PV object {name} but its pv.Spec.ClaimRef.UID {ref.get('uid', '')} "
            f"does not point to claim.UID {uid_of(claim)}"
        )
    return volume


def _check_mode(pod: Obj, name: str, found: Claimed) -> None:
    """That containers use the volume as what it is. Errors: NotProcessed."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    wrong = "volumeMounts" if found.is_block else "volumeDevices"
    if any(one["name"] == name for c in containers for one in c.get(wrong) or ()):
        mode = "Block" if found.is_block else "Filesystem"
        raise NotProcessed(f"volume {name} has volumeMode {mode}, but is specified in {wrong}")


def kind_of(found: Claimed, kinds: dict[str, PersistentKind]) -> PersistentKind:
    """The kind of a PersistentVolume. Errors: VolumeFailed where this node cannot mount it."""
    for source, kind in kinds.items():
        if source in found.volume["spec"]:
            if found.options and not kind.mount_options:
                raise VolumeFailed(
                    "Mount options are not supported for this volume type",
                    step="MountVolume.MountOptionSupport check",
                    name=found.name,
                )
            return kind
    raise no_plugin(found.name)
