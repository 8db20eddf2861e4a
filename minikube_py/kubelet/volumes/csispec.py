"""What a CSI driver is told of a volume: pure, from the cluster's objects. Names of its context's entries and
the rules of fsGroupPolicy are Kubernetes' (CSI Driver API)."""

import hashlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minikube_py.kubelet.volumes.base import VolumeFailed
from minikube_py.kubelet.volumes.persistent import Claimed
from minikube_py.meta.objects import Obj, dig, name_of, namespace_of, uid_of
from minikube_py.runtime.csi import MOUNT_GROUP, SINGLE_WRITER, Capability

PLUGIN = "kubernetes.io/csi"
POD = "csi.storage.k8s.io/pod."
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"
SINGLE = ("ReadWriteOnce", "ReadWriteOncePod")
_MODES = {"ReadOnlyMany": "MULTI_NODE_READER_ONLY", "ReadWriteMany": "MULTI_NODE_MULTI_WRITER"}


@dataclass(frozen=True, slots=True)
class CsiVolumeSpec:
    """One CSI volume of a pod. `spec_name` names it on disk and in events; `modes` are its access modes."""

    driver: str
    handle: str
    spec_name: str
    ephemeral: bool
    fs_type: str = ""
    read_only: bool = False
    block: bool = False
    modes: Sequence[str] = ()
    options: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    publish_secret: tuple[str, str] = ("", "")
    stage_secret: tuple[str, str] = ("", "")
    expand_secret: tuple[str, str] = ("", "")

    @property
    def device(self) -> str:
        """The name of the lock and of what all pods that use the volume share."""
        return f"{self.driver}^{self.handle}"


def inline_spec(pod: Obj, volume: Obj) -> CsiVolumeSpec:
    """The volume that a pod's own `csi` source asks for."""
    source = volume["csi"]
    handle = hashlib.sha256(f"{uid_of(pod)}{volume['name']}".encode()).hexdigest()
    secret = dig(source, "nodePublishSecretRef.name", "")
    return CsiVolumeSpec(
        driver=source["driver"],
        handle=f"csi-{handle}",
        spec_name=volume["name"],
        ephemeral=True,
        fs_type=source.get("fsType") or "",
        read_only=bool(source.get("readOnly")),
        attributes=source.get("volumeAttributes") or {},
        publish_secret=(namespace_of(pod), secret) if secret else ("", ""),
    )


def persistent_spec(claimed: Claimed) -> CsiVolumeSpec:
    """The volume of a claim."""
    spec = claimed.volume["spec"]
    source = spec["csi"]
    return CsiVolumeSpec(
        driver=source["driver"],
        handle=source["volumeHandle"],
        spec_name=claimed.name,
        ephemeral=False,
        fs_type=source.get("fsType") or "",
        read_only=claimed.read_only or bool(source.get("readOnly")),
        block=claimed.is_block,
        modes=spec.get("accessModes") or (),
        options=claimed.options,
        attributes=source.get("volumeAttributes") or {},
        publish_secret=_secret(source, "nodePublishSecretRef"),
        stage_secret=_secret(source, "nodeStageSecretRef"),
        expand_secret=_secret(source, "nodeExpandSecretRef"),
    )


def _secret(source: Obj, name: str) -> tuple[str, str]:
    ref = source.get(name) or {}
    return ref.get("namespace") or "", ref.get("name") or ""


def secret_values(found: Obj | None) -> dict[str, str]:
    """A Secret's data as drivers get it."""
    data = (found or {}).get("data") or {}
    return {key: b64decode(value or "").decode(errors="surrogateescape") for key, value in data.items()}


def access_mode(modes: Sequence[str], capabilities: frozenset[str]) -> str:
    """The CSI access mode of a volume: that of the first of its access modes."""
    first = modes[0] if modes else "ReadWriteOnce"
    if first in _MODES:
        return _MODES[first]
    if SINGLE_WRITER not in capabilities:
        return "SINGLE_NODE_WRITER"
    return "SINGLE_NODE_SINGLE_WRITER" if first == "ReadWriteOncePod" else "SINGLE_NODE_MULTI_WRITER"


def capability(spec: CsiVolumeSpec, capabilities: frozenset[str], group: int | None) -> Capability:
    """How the volume is used. A driver that can is given the pod's group, and the kubelet leaves it to it."""
    return Capability(
        access_mode(spec.modes, capabilities),
        spec.block,
        spec.fs_type,
        () if spec.block else spec.options,
        str(group) if group is not None and MOUNT_GROUP in capabilities else "",
    )


def pod_info(pod: Obj, ephemeral: bool) -> dict[str, str]:
    """What a driver with podInfoOnMount is told of the pod."""
    return {
        POD + "name": name_of(pod),
        POD + "namespace": namespace_of(pod),
        POD + "uid": uid_of(pod),
        "csi.storage.k8s.io/serviceAccount.name": pod["spec"].get("serviceAccountName") or "default",
        "csi.storage.k8s.io/ephemeral": "true" if ephemeral else "false",
    }


def takes_group(spec: CsiVolumeSpec, driver: Obj | None) -> bool:
    """Whether the kubelet gives the volume to the pod's fsGroup, by the driver's fsGroupPolicy."""
    policy = dig(driver, "spec.fsGroupPolicy", "ReadWriteOnceWithFSType")
    if policy == "None" or spec.read_only or spec.block:
        return False
    if policy == "File":
        return True
    return spec.fs_type != "" and (spec.ephemeral or any(mode in SINGLE for mode in spec.modes))


def check_lifecycle(name: str, ephemeral: bool, driver: Obj | None) -> None:
    """That the driver offers volumes of this life cycle. Errors: VolumeFailed."""
    asked = "Ephemeral" if ephemeral else "Persistent"
    told = f"{PLUGIN}: mounter.SetUpAt failed to check volume lifecycle mode: "
    if driver is None:
        if ephemeral:
            raise VolumeFailed(
                f'{told}volume mode "{asked}" not supported by driver {name} (no CSIDriver object)'
            )
        return
    modes = dig(driver, "spec.volumeLifecycleModes") or ["Persistent"]
    if asked not in modes:
        only = " ".join(f'"{mode}"' for mode in modes)
        raise VolumeFailed(
            f'{told}volume mode "{asked}" not supported by driver {name} (only supports [{only}])'
        )


def attach_required(driver: Obj | None, spec: CsiVolumeSpec) -> bool:
    """Whether the volume is attached to the node before it is mounted."""
    return not spec.ephemeral and bool(dig(driver, "spec.attachRequired", True))


def staging_folder(root: Path, spec: CsiVolumeSpec) -> Path:
    """Where the volume is staged on the node for all its pods."""
    plugins = root / "plugins" / "kubernetes.io" / "csi"
    if spec.block:
        return plugins / "volumeDevices" / "staging" / spec.spec_name
    return plugins / spec.driver / hashlib.sha256(spec.handle.encode()).hexdigest() / "globalmount"


def note(spec: CsiVolumeSpec, node: str, attachment: str, places: tuple[str, str] = ("", "")) -> dict[str, Any]:
    """What vol_data.json says of one pod's volume, as Kubernetes names it; `places` are where it is published
    and staged, both empty before anything is asked of the driver."""
    target, staging = places
    return {
        "attachmentID": attachment,
        "driverName": spec.driver,
        "nodeName": node,
        "specVolID": spec.spec_name,
        "volumeHandle": spec.handle,
        "volumeLifecycleMode": "Ephemeral" if spec.ephemeral else "Persistent",
        "target": target,
        "staging": staging,
    }
